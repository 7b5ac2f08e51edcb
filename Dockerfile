# syntax=docker/dockerfile:1

# The newest long-term release of Node; the package itself runs on 20.19 and later.
ARG NODE_VERSION=24

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-fund --no-audit
COPY . .
RUN npm run generate && npm run build && npm prune --omit=dev --ignore-scripts --no-fund --no-audit

FROM node:${NODE_VERSION}-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /src/package.json ./
COPY --from=build /src/node_modules ./node_modules
COPY --from=build /src/proto ./proto
COPY --from=build /src/dist ./dist
RUN ln -s /app/dist/main.js /usr/local/bin/meltemi && chmod 0755 /app/dist/main.js
USER 1337:1337
EXPOSE 8080 15010 15012 15014 15017
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["serve"]

// Writes everything under src/*/generated from the protos and schemas of the installed packages and of proto/.
// Run by `npm run generate`, before any compile; the output is not kept in git.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { injectionTemplates } from './generate/injection-templates.ts';
import { istioSchemas, istioSpecs, istioTypes } from './generate/istio-schemas.ts';
import { messageSchema } from './generate/message-schema.ts';
import { messageTypes } from './generate/message-types.ts';
import { modelOf } from './generate/model.ts';
import { loadProtos } from './generate/protos.ts';

function write(path: string, text: string): void {
  const file = fileURLToPath(new URL(`../src/${path}`, import.meta.url));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

const specs = istioSpecs();
write('config/generated/types.ts', istioTypes(specs));
write('config/generated/schemas.ts', istioSchemas(specs));

const model = modelOf(loadProtos());
write('messages/generated/types.ts', messageTypes(model));
write('messages/generated/schema.ts', messageSchema(model));

write('inject/generated/templates.ts', injectionTemplates());

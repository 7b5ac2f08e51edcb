// Node's HTTP, without what an `import` of it takes along from Node.js 22 on: that reads every export, and one of them loads
// all of `fetch`, 2 MiB beside every proxy. Used by all of the agent that speaks HTTP.

export const { createServer, request } = process.getBuiltinModule('node:http');

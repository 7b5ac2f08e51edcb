import { expect, it } from 'vitest';
import { commandLine } from '../cli/support.ts';

it.each(['samples/bookinfo'])('%s has nothing wrong with it', async (folder) => {
  expect(await commandLine('analyze', folder)).toMatchObject({ code: 0, out: expect.stringMatching(/^\s*$/) });
});

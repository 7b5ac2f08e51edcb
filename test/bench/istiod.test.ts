// What istiod's own benchmarks print, as what the suite `shapes` holds its figures beside.

import { describe, expect, it } from 'vitest';
import { anchorsFrom, ISTIOD } from '../../bench/shapes/istiod.ts';
import { SHAPES } from '../../bench/shapes/shapes.ts';

const PRINTED = `
goos: linux
BenchmarkInitPushContext/http-2             	    2828	    325218 ns/op
BenchmarkRouteGeneration/http-2             	     993	    900000 ns/op	        41.66 kb/msg	         1.000 resources/msg
BenchmarkRouteGeneration/http-2             	     990	    700000 ns/op	        41.66 kb/msg	         1.000 resources/msg
BenchmarkRouteGeneration/http-2             	     995	    800000 ns/op	        41.66 kb/msg	         1.000 resources/msg
BenchmarkClusterGeneration/telemetry-api-16 	     178	   6394246 ns/op	       231.6 kb/msg	       411.0 resources/msg	  12 B/op
BenchmarkListenerGeneration/waypoint        	      94	  10105484 ns/op	       451.9 kb/msg	         3.000 resources/msg
BenchmarkNameTableGeneration/tcp-2          	     382	   1522640 ns/op	        53.45 kb/msg	         1.000 resources/msg
BenchmarkSecretGeneration/secrets-2         	    2550	    273258 ns/op	        30.31 kb/msg	        10.00 resources/msg
BenchmarkSecretGeneration/secrets#01-2      	      21	  37903409 ns/op	      3033 kb/msg	      1000 resources/msg
BenchmarkEndpointGeneration/1/100-2         	     100	     10000 ns/op
PASS
`;

describe("istiod's figures", () => {
  it('are the medians of what its benchmarks print', () => {
    expect(anchorsFrom(PRINTED)).toEqual({
      http: { link: 0.325218, types: { route: [0.8, 41.66, 1] } },
      'telemetry-api': { types: { cluster: [6.394246, 231.6, 411] } },
      waypoint: { types: { listener: [10.105484, 451.9, 3] } },
      'name table (1,000)': { types: { 'name table': [1.52264, 53.45, 1] } },
      'secrets (10)': { types: { secret: [0.273258, 30.31, 10] } },
      'secrets (1000)': { types: { secret: [37.903409, 3033, 1000] } },
    });
  });

  it('are nothing without a line of theirs', () => {
    expect(() => anchorsFrom('PASS\n')).toThrow('go test -bench');
  });

  it('are there for every shape but the empty one', () => {
    const without = SHAPES.map(({ name }) => name).filter((name) => ISTIOD[name] === undefined);
    expect(without).toEqual(['empty']);
  });
});

"""Runs every case against the edge of the scene that is given as JSON, and prints outcomes as JSON."""

import asyncio
import json
import sys
import time

import matrix
import musts

AT_ONCE = 4


async def run(scene, gate, suite, name, rule, case):
    async with gate:
        began, failure = time.monotonic(), None
        try:
            await case(scene)
        except AssertionError as error:
            failure = ["Assertion", str(error)]
        except Exception as error:  # noqa: BLE001
            failure = [type(error).__name__, str(error)]
        print(f"{time.monotonic() - began:6.2f} s  {'ok' if failure is None else 'FAILED'}  {name}  "
              f"({rule}) {failure or ''}", file=sys.stderr)
        return {"id": name, "suite": suite, "kind": "required", "depends_on": [], "failure": failure}


async def main():
    scene = json.loads(sys.argv[1])
    only, gate = sys.argv[2:], asyncio.Semaphore(AT_ONCE)
    scene["measured"] = {}
    cases = [("musts", *must) for must in musts.MUSTS] + [("matrix", *case) for case in matrix.CASES]
    chosen = [case for case in cases if not only or case[1] in only]
    outcomes = await asyncio.gather(*[run(scene, gate, *case) for case in chosen])
    print(json.dumps(outcomes))
    print(f"measured: {scene['measured']}", file=sys.stderr)


asyncio.run(main())

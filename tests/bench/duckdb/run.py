"""DuckDB beside the benchmark of the gate: statements in, one JSON a line; times and the first cell out."""

import json
import sys
import time

import duckdb

connection = duckdb.connect()
for line in sys.stdin:
    statement = json.loads(line)
    wall, cpu = time.perf_counter(), time.process_time()
    rows = connection.execute(statement).fetchall()
    told = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "first": str(rows[0][0]) if rows else "",
    }
    print(json.dumps(told), flush=True)

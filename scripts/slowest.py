#!/usr/bin/env python3
"""Prints the slowest tests of a JUnit report: usage slowest.py FILE [COUNT]."""

import sys
import xml.etree.ElementTree as ElementTree

report = ElementTree.parse(sys.argv[1])
count = int(sys.argv[2]) if len(sys.argv) > 2 else 10
times = [(float(case.get("time", 0)), case.get("classname"), case.get("name")) for case in report.iter("testcase")]
print(f"slowest of {len(times)} tests:")
for seconds, binary, name in sorted(times, reverse=True)[:count]:
    print(f"  {seconds:8.1f} s  {binary} {name}")

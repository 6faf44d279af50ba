"""The suites of a test run and what each counted, from nextest's report: suite, tests, seconds, and the figures that its tests print."""
import collections, re, sys, xml.etree.ElementTree as xml

# A figure is a line such as "grants: 97 refused by name"; a log line begins with its time, a panic with "thread".
FIGURE = re.compile(r"^[a-z][\w ,/'().-]{1,60}: .*\d")
NOISE = re.compile(r"^(test result|running|thread|note|error|warning|stderr|stdout)\b|panicked at| (INFO|WARN|ERROR|DEBUG) ")

def figures(case):
    for name in ("system-err", "system-out"):
        for line in (case.findtext(name) or "").splitlines():
            if FIGURE.match(line) and not NOISE.search(line):
                yield line[:200]

def main(report):
    total, failed = 0, 0
    found = collections.OrderedDict()
    for suite in xml.parse(report).getroot().iter("testsuite"):
        cases = list(suite.iter("testcase"))
        took = sum(float(case.get("time") or 0) for case in cases)
        bad = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
        total, failed = total + len(cases), failed + bad
        print(f"{suite.get('name')}: {len(cases)} tests, {took:.1f} s{f', {bad} FAILED' if bad else ''}")
        for line in dict.fromkeys(line for case in cases for line in figures(case)):
            print(f"    {line}")
    print(f"{total - failed} passed, {failed} failed")

main(sys.argv[1])

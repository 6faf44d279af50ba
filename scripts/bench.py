"""One-host `file.stat` over one kept connection, by way of plan, policy, grant, probe, receipt and audit on disk."""
import http.client, json, statistics, sys, time, urllib.parse


def main(url, name, calls):
    at = urllib.parse.urlparse(url)
    body = json.dumps({"verb": "file.stat", "args": {"path": "/etc/hostname"}, "selector": f"name={name}"})
    connection = http.client.HTTPConnection(at.hostname, at.port)
    took = []
    for number in range(calls + 50):
        begun = time.perf_counter()
        connection.request("POST", "/api/v1/plans?wait=30s", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        plan = json.loads(answer.read())
        if answer.status != 201 or plan["tasks"][0]["state"] != "succeeded":
            sys.exit(f"call {number}: {answer.status} {plan}")
        if number >= 50:
            took.append((time.perf_counter() - begun) * 1000)
    took.sort()
    p99 = took[int(len(took) * 0.99)]
    print(f"  file.stat, {calls} calls: p50 {statistics.median(took):.2f} ms, p99 {p99:.2f} ms, longest {took[-1]:.2f} ms (goal 5 / 20)")


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

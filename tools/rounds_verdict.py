#!/usr/bin/env python3
"""What became of jobs while what stands between them and their tasks was killed.

    rounds_verdict.py FOLDER TASKS [last-words-may-be-lost]      of TASKS elements each

FOLDER has `ran`, a line for each beginning and end of an attempt (JOB TASK ATTEMPT began|ended TIME, on one
clock), `shown.json`, what the exchange shows of each job, and `bills.json`, its invoices. Every job has
succeeded; every attempt ran once, none beside another of its task; every task succeeded once; each attempt that
succeeded is on the bill, none twice; nothing is held any more. Ends with 1 where that is not so. Where what a
task says last may be lost with a service that was killed, an attempt that succeeded without it is counted.
"""
import collections
import json
import sys

SHOWN_MAX = 40


def documents(path):
    text, decoder, at = open(path).read(), json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value


def main(work, want, lossy):
    ran, wrong = collections.defaultdict(dict), []
    for line in open(f"{work}/ran"):
        job, task, attempt, what, at = line.split()
        times = ran[(job, int(task), int(attempt))]
        if what in times:
            wrong.append(f"{job}.{task}.{attempt} {what} twice")
        times[what] = int(at)
    billed = collections.Counter(
        line["attempt"] for bill in documents(f"{work}/bills.json") for line in bill["lines"])
    wrong += [f"{one} is on the bill {count} times" for one, count in billed.items() if count > 1]
    ends, jobs, lost = collections.Counter(), 0, 0
    for job in documents(f"{work}/shown.json"):
        jobs += 1
        if job["state"] != "succeeded" or job["tasks"]["succeeded"] != want:
            wrong.append(f"{job['id']} is {job['state']}: {job['tasks']}")
        if float(job["money"]["held"]) != 0:
            wrong.append(f"{job['id']} still holds {job['money']['held']}")
        ends.update(a["state"] for a in job["attempts"])
        for a in job["attempts"]:
            name = f"{job['id']}.{a['task']}.{a['attempt']}"
            times = ran.get((job["id"], a["task"], a["attempt"]), {})
            if a["state"] == "succeeded":
                if lossy and set(times) == {"began"}:
                    lost += 1
                elif set(times) != {"began", "ended"}:
                    wrong.append(f"{name} succeeded and ran {times}")
                if billed[f"{job['id']}/{a['task']}.{a['attempt']}"] != 1:
                    wrong.append(f"{name} is not on the bill")
        for task in range(want):
            mine = [a for a in job["attempts"] if a["task"] == task]
            if sum(a["state"] == "succeeded" for a in mine) != 1:
                wrong.append(f"{job['id']}.{task}: {[a['state'] for a in mine]}")
            spans = sorted((t["began"], t.get("ended", 0)) for (j, n, _), t in ran.items()
                           if (j, n) == (job["id"], task) and "began" in t)
            for (_, ended), (began, _) in zip(spans, spans[1:]):
                if began < ended:
                    wrong.append(f"{job['id']}.{task}: two attempts ran side by side")
    more = len(ran) - jobs * want
    print(f"jobs: {jobs}; attempts by their ends: {dict(ends)}; attempts beyond one per task that ran: {more}")
    if lossy:
        print(f"attempts that succeeded and whose last words were lost: {lost}")
    print(f"lines on the bills: {sum(billed.values())}")
    for finding in wrong[:SHOWN_MAX]:
        print("WRONG:", finding)
    return 1 if wrong or not jobs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["last-words-may-be-lost"]))

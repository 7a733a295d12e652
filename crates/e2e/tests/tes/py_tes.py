"""A task by py-tes, from its creation to its end. Arguments: the exchange's address, a token."""

import sys

import tes

url, token = sys.argv[1:]
client = tes.HTTPClient(url, timeout=60, token=token)

info = client.get_service_info()
assert info.type["artifact"] == "tes" and info.type["version"].startswith("1.1"), info

task = tes.Task(
    name="hello",
    executors=[
        tes.Executor(
            image="localhost/dayan-test:1",
            command=["cat", "/data/greeting"],
            stdout="/out/said",
        ),
        tes.Executor(image="localhost/dayan-test:1", command=["wc", "-c", "/out/said"]),
    ],
    inputs=[tes.Input(path="/data/greeting", content="hello, world\n")],
    outputs=[tes.Output(path="/out/said", url="dayan://lab/demo/said")],
    resources=tes.Resources(cpu_cores=1, ram_gb=0.1),
    tags={"by": "py-tes"},
)
name = client.create_task(task)
ended = client.wait(name, timeout=100)
assert ended.state == "COMPLETE", client.get_task(name, "FULL").as_json()

full = client.get_task(name, "FULL")
log = full.logs[0]
assert [step.exit_code for step in log.logs] == [0, 0], log
assert log.logs[0].stdout == "hello, world\n", log
assert log.logs[1].stdout == "13 /out/said\n", log
assert full.inputs[0].content == "hello, world\n", full
assert full.tags == {"by": "py-tes"}, full
assert log.outputs[0].url == "dayan://lab/demo/said", log
assert log.start_time <= log.end_time, log

listed = client.list_tasks(view="BASIC")
assert [task.id for task in listed.tasks] == [name], listed

long = client.create_task(
    tes.Task(executors=[tes.Executor(image="localhost/dayan-test:1", command=["sleep", "600"])])
)
client.cancel_task(long)
state = client.get_task(long, "MINIMAL").state
assert state in ("CANCELED", "CANCELING"), state
print("done")

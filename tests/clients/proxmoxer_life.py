"""A container's whole life through proxmoxer: by token, then by password. Usage: PORT TEMPLATE."""

import io
import os
import sys
import time

from proxmoxer import ProxmoxAPI
from proxmoxer.core import ResourceException

PORT, TEMPLATE = int(sys.argv[1]), sys.argv[2]
COMMON = {"host": "127.0.0.1", "port": PORT, "verify_ssl": os.environ["PVE_CA"]}


def done(api, upid):
    """Waits for a task and returns its exit status and log."""
    task = api.nodes("vm").tasks(upid)
    while task.status.get()["status"] == "running":
        time.sleep(0.05)
    return task.status.get()["exitstatus"], [line["t"] for line in task.log.get()]


def succeed(api, upid):
    status, log = done(api, upid)
    assert status == "OK", (status, log)
    return log


def life(api, vmid):
    node = api.nodes("vm")
    assert [one["node"] for one in api.nodes.get()] == ["vm"]
    assert api.version.get()["release"].startswith("9.")
    assert TEMPLATE in [one["volid"] for one in node.storage("local").content.get(content="vztmpl")]
    assert int(api.cluster.nextid.get()) >= 100
    log = succeed(api, node.lxc.create(
        vmid=vmid, ostemplate=TEMPLATE, rootfs="local:0.1", hostname="web", memory=64, password="hunter22"))
    assert log[-1] == "TASK OK", log
    ct = node.lxc(vmid)
    succeed(api, ct.status.start.post())
    current = ct.status.current.get()
    assert (current["status"], current["name"], current["vmid"]) == ("running", "web", vmid), current
    assert ct.config.put(memory=96, description="made by proxmoxer") is None
    config = ct.config.get()
    assert (config["memory"], config["description"]) == (96, "made by proxmoxer\n"), config
    assert [one["name"] for one in ct.interfaces.get()][0] == "lo"
    refusal, _ = done(api, ct.snapshot.post(snapname="s1"))
    assert "snapshot feature is not available" in refusal, refusal
    assert [one["name"] for one in ct.snapshot.get()] == ["current"]
    succeed(api, ct.status.stop.post())
    log = succeed(api, ct.clone.post(newid=vmid + 1, hostname="copy"))
    assert log[0] == f"creating a clone of container {vmid} with ID {vmid + 1}", log
    names = sorted(one["name"] for one in api.cluster.resources.get(type="vm"))
    assert names == ["copy", "web"], names
    for one in [vmid, vmid + 1]:
        succeed(api, node.lxc(one).delete(purge=1))
    assert node.lxc.get() == []
    try:
        ct.status.current.get()
        raise AssertionError("a destroyed container answers")
    except ResourceException as error:
        assert error.status_code == 500 and "does not exist" in str(error), error
    try:
        node.lxc.create(vmid=5, ostemplate=TEMPLATE)
        raise AssertionError("5 is no vmid")
    except ResourceException as error:
        assert error.status_code == 400 and "vmid" in error.errors, error


def upload(api):
    storage = api.nodes("vm").storage("local")
    data = io.BytesIO(b"x" * 300_000)
    data.name = "uploaded.tar.zst"
    succeed(api, storage.upload.post(content="vztmpl", filename=data))
    found = [one for one in storage.content.get() if one["volid"] == "local:vztmpl/uploaded.tar.zst"]
    assert [one["size"] for one in found] == [300_000], found
    succeed(api, storage.content("local:vztmpl/uploaded.tar.zst").delete())
    assert "local:vztmpl/uploaded.tar.zst" not in [one["volid"] for one in storage.content.get()]


name, secret = os.environ["PVE_TOKEN"].split("=")
user, token_name = name.split("!")
by_token = ProxmoxAPI(user=user, token_name=token_name, token_value=secret, **COMMON)
life(by_token, 181)
upload(by_token)
by_password = ProxmoxAPI(user="root@pam", password=os.environ["PVE_PASSWORD"], **COMMON)
life(by_password, 191)
users = {task["user"] for task in by_password.nodes("vm").tasks.get()}
assert users == {"root@pam"}, users
assert {task.get("tokenid") for task in by_password.nodes("vm").tasks.get()} == {"ci", None}

"""Reads of many clients at a time from `pvect node serve`. Usage: CLIENTS READS; the program is named by PVECT."""

import http.client
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time

CLIENTS, READS = int(sys.argv[1]), int(sys.argv[2])
PVECT = os.environ["PVECT"]
PATHS = ["/version", "/nodes/vm/lxc", "/nodes/vm/lxc/103/config", "/nodes/vm/lxc/105/status/current",
         "/cluster/resources?type=vm", "/nodes/vm/tasks"]

root = tempfile.mkdtemp(prefix="pvload", dir="/var/tmp")
env = {"PATH": os.environ["PATH"], "PVECT_ROOT": root, "PVECT_NODE": "vm", "LC_ALL": "C.UTF-8"}


def pvect(*words):
    return subprocess.run([PVECT, *words], env=env, check=True, capture_output=True, text=True).stdout


def state(pid):
    with open(f"/proc/{pid}/status") as status:
        kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), kib


try:
    secret = pvect("node", "token", "add", "root@pam!load", "--privsep", "0").strip()
    for vmid in range(101, 111):
        with open(f"{root}/etc/pve/nodes/vm/lxc/{vmid}.conf", "w") as config:
            config.write(f"arch: amd64\nhostname: web{vmid}\nmemory: 512\nunprivileged: 1\n")
    server = subprocess.Popen([PVECT, "node", "serve", "--listen", "127.0.0.1:0"], env=env,
                              stdout=subprocess.PIPE, text=True)
    port = int(server.stdout.readline().rsplit(":", 1)[1])
    trust = ssl.create_default_context(cafile=f"{root}/etc/pve/nodes/vm/pve-ssl.pem")
    headers = {"Authorization": f"PVEAPIToken=root@pam!load={secret}"}
    times, errors, lock = [], [], threading.Lock()
    ready = threading.Barrier(CLIENTS + 1)

    def client(number, reads):
        mine, failed = [], []
        # One address has 64 connections at most.
        source = (f"127.0.0.{2 + number // 50}", 0)
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=60, source_address=source)
        try:
            connection.connect()
        except OSError as error:
            failed.append(repr(error))
        ready.wait()
        for index in range(reads):
            began = time.monotonic()
            try:
                connection.request("GET", "/api2/json" + PATHS[(number + index) % len(PATHS)], headers=headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failed.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                failed.append(repr(error))
                connection.close()
            mine.append(time.monotonic() - began)
        connection.close()
        with lock:
            times.extend(mine)
            errors.extend(failed)

    def run(reads):
        times.clear()
        threads = [threading.Thread(target=client, args=(number, reads // CLIENTS)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        ready.wait()
        began = time.monotonic()
        for thread in threads:
            thread.join()
        return time.monotonic() - began

    start = state(server.pid)
    run(CLIENTS * 5)
    time.sleep(1)
    warm = state(server.pid)
    took = run(READS)
    measured = sorted(times)
    time.sleep(1)
    once = state(server.pid)
    run(READS // 2)
    time.sleep(1)
    after = state(server.pid)
    print(f"{len(measured)} reads, {CLIENTS} clients, {len(errors)} errors, {len(measured) / took:.0f} a second")
    print("ms: " + ", ".join(f"p{p} {measured[min(len(measured) - 1, len(measured) * p // 100)] * 1000:.1f}" for p in (50, 90, 99)))
    for name, (files, kib) in [("at the start", start), ("warm", warm), ("after", once), ("after half as many again", after)]:
        print(f"{name}: {files} descriptors, {kib} KiB")
    for error in sorted(set(map(str, errors)))[:5]:
        print("error:", error)
    server.terminate()
    sys.exit(1 if errors or server.wait(timeout=20) != 0 or after[0] > warm[0] + 2 else 0)
finally:
    shutil.rmtree(root, ignore_errors=True)

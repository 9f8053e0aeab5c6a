"""Where data moves: each command beside the program that does the same and nothing more, in turns. A part of scripts/bench.

Of the environment: BENCH_ROUNDS says how often each is run (7), BENCH_MB how large the file is that is pushed and
pulled (500); all else is as large in proportion.
"""

import glob
import http.client
import io
import json
import os
import random
import resource
import shutil
import ssl
import statistics
import subprocess
import sys
import tarfile
import time

ROUNDS = int(os.environ.get("BENCH_ROUNDS", 7))
MEGABYTES = int(os.environ.get("BENCH_MB", 500))
# What is quick is run more often.
OFTEN = 5
LISTED = 500
CONTAINER, IMAGE = "100", "101"


def of_children():
    """The processor time, in seconds, of the children that were waited for, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Runs:
    """How long something took, each time, in milliseconds: by the clock, and of the processors."""

    def __init__(self, processor):
        self.processor, self.clock, self.cpu = processor, [], []

    def time(self, work):
        before, began = self.processor(), time.perf_counter()
        work()
        took, after = time.perf_counter() - began, self.processor()
        self.clock.append(1000 * took)
        self.cpu.append(1000 * (after - before))


class Site:
    """A node with a container on a directory, which runs, and a stopped one on an image."""

    def __init__(self, bench, root):
        self.bench, self.root, self.last = bench, root, 200
        self.pvect, self.pct = [bench.PVECT, "-q"], [bench.PVECT, "pct"]
        small, _ = bench.template_of(root)
        # Its root is what is cloned, saved and restored: 160 MB of 500.
        self.tree, self.tar = template(bench, root, small, MEGABYTES * 320_000)
        self.file = f"{root.path}/file"
        with open(self.file, "wb") as file:
            rng = random.Random(2)
            for _ in range(MEGABYTES):
                file.write(rng.randbytes(10**6))
        self.gib = max(1, MEGABYTES // 250)
        bench.run(*self.pvect, "create", CONTAINER, self.tree, "--rootfs", "local:0")
        bench.run(*self.pvect, "create", IMAGE, self.tree, "--rootfs", f"local:{self.gib}")
        self.made = f"{root.path}/made"
        os.mkdir(self.made)

    def new(self):
        """A number for a container, and a path, that nothing has yet."""
        self.last += 1
        return str(self.last), f"{self.made}/{self.last}"

    def measured(self, name, *works, rounds=ROUNDS, processors=None):
        """Runs each work in turns. A work makes something new each time, and returns what is to be done after it.

        What is made stays where it is many files: ext4 is slow to make files for some seconds after many were deleted.
        """
        processors = processors or [of_children] * len(works)
        found = [Runs(processor) for processor in processors]
        # The first round is for the caches.
        for runs in [[Runs(processor) for processor in processors]] + [found] * rounds:
            for work, one in zip(works, runs):
                # What is still to be written would be measured, too.
                os.sync()
                run, after = work()
                one.time(run)
                after()
        with open(f"{self.bench.OUT}/data-{name}.json", "w") as file:
            json.dump([[runs.clock, runs.cpu] for runs in found], file)
        return found

    def words(self, make, after=lambda *_: None):
        """A work: a program that must end well. `make` gives its words, for a number and a path that are new."""
        def run(words):
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            # pct ends with 0 when a push or a pull fails.
            if done.returncode or done.stderr and {"push", "pull"}.intersection(words):
                sys.exit(f"error: {' '.join(words)}: {done.stderr.decode().strip()}")

        def work():
            new = self.new()
            words = make(*new)
            return lambda: run(words), lambda: after(*new)
        return work

    def shell(self, make, after=lambda *_: None):
        return self.words(lambda *new: ["bash", "-o", "pipefail", "-c", make(*new)], after)

    def volume(self, vmid):
        """The only volume of a container: an image, or the root directory."""
        path, = glob.glob(f"{self.root.path}/vz/images/{vmid}/*")
        return path

def template(bench, root, small, size):
    """A template of a small one and of so many bytes in files as a system has them, always the same; and its tar."""
    archive = f"{root.path}/vz/template/cache/{small.split('/', 1)[1]}"
    tar, rng, left, number = f"{root.path}/tree.tar", random.Random(1), size, 0
    bench.run("zstd", "-q", "-d", "-f", archive, "-o", tar)
    with tarfile.open(tar, "a") as made:
        while left > 0:
            length = min(left, int(rng.lognormvariate(9.6, 1.6)))
            # Half of it cannot be compressed.
            data = b"".join((rng.randbytes(32) + b"0123456789abcdef0123456789abcdef") for _ in range(length // 64 + 1))
            entry = tarfile.TarInfo(f"./usr/share/made/{number % 400}/{number}")
            entry.size, entry.mode = len(data), 0o644
            made.addfile(entry, io.BytesIO(data))
            left, number = left - len(data), number + 1
    name = "busybox-data-pvect_1_amd64.tar.zst"
    packed = f"{os.path.dirname(archive)}/{name}"
    bench.run("zstd", "-q", "-f", tar, "-o", packed)
    os.unlink(tar)
    return f"local:vztmpl/{name}", packed


class Table:
    """A row for each of ours: what it takes, and what the program beside it takes."""

    HEAD = [
        "| what | ms | processor ms | beside it | ms | processor ms | ratio | of the minima | of the processor | goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]

    def __init__(self):
        self.rows = list(self.HEAD)

    def put(self, what, ours, theirs, beside, goal, digits=0):
        median = statistics.median
        times = [f"{median(times):.{digits}f}" for runs in (ours, theirs) for times in (runs.clock, runs.cpu)]
        ratios = [
            f"{of(ours) / of(theirs):.2f}" if of(theirs) else ""
            for of in (lambda one: median(one.clock), lambda one: min(one.clock), lambda one: median(one.cpu))
        ]
        self.rows.append("| " + " | ".join([what, *times[:2], beside, *times[2:], *ratios, goal]) + " |")
        print(self.rows[-1], flush=True)


def copies(site, table):
    """push and pull. What is copied is removed at once: it is one file."""
    inside = f"{site.volume(CONTAINER)}/copy"
    source = f"{site.volume(CONTAINER)}/source"
    out = f"{site.made}/copy"
    shutil.copyfile(site.file, source)
    root = os.stat(site.volume(CONTAINER))
    os.chown(source, root.st_uid, root.st_gid)
    for verb, here, there, words in (
        ("push", site.file, inside, [CONTAINER, site.file, "/copy"]),
        ("pull", source, out, [CONTAINER, "/source", out]),
    ):
        def gone(*_, there=there):
            os.unlink(there)

        found = site.measured(
            verb,
            *(site.words(lambda *_, who=who: [*who, verb, *words], gone) for who in (site.pct, site.pvect)),
            site.shell(lambda *_: f"cp '{here}' '{there}' && cat '{there}' >/dev/null", gone),
        )
        for who, runs in zip(("pct", "pvect"), found):
            table.put(f"`{who} {verb}` of {MEGABYTES} MB", runs, found[2], "`cp`, and read once", "1.5")
    os.unlink(source)


def clones(site, table):
    def clone(of, after=lambda *_: None):
        return site.words(lambda vmid, _: [*site.pct, "clone", of, vmid, "--full", "1"], after)

    def destroyed(vmid, _):
        site.bench.run(*site.pvect, "destroy", vmid)

    def gone(_, path):
        os.unlink(path)

    image, root = site.volume(IMAGE), site.volume(CONTAINER)
    ours, bare, kept = site.measured(
        "clone-image",
        clone(IMAGE, destroyed),
        site.words(lambda _, path: ["cp", "--sparse=always", image, path], gone),
        site.shell(lambda _, path: f"cp --sparse=always '{image}' '{path}' && sync '{path}'", gone),
    )
    what = f"`pct clone`, image of {site.gib} GiB with {os.stat(image).st_blocks * 512 // 10**6} MB in it"
    table.put(what, ours, bare, "`cp --sparse=always`", "2")
    table.put("the same", ours, kept, "`cp --sparse=always`, and `sync` of the copy", "2")
    beside = site.words(lambda _, path: ["cp", "-a", root, path])
    table.put("`pct clone`, directory", *site.measured("clone-directory", clone(CONTAINER), beside), "`cp -a`", "1.2")


def archives(site, table):
    dump, root = f"{site.root.path}/vz/dump", site.volume(CONTAINER)
    flags = "--sparse --numeric-owner --acls --xattrs --one-file-system"
    found = site.measured(
        "backup",
        site.words(lambda *_: [site.bench.PVECT, "node", "vzdump", CONTAINER, "--compress", "zstd", "--mode", "stop"]),
        site.shell(lambda _, path: f"tar -C '{root}' {flags} -cf - . | zstd -q -T0 -3 -o '{path}'"),
    )
    table.put("`vzdump`, directory, zstd", *found, "`tar` into `zstd -T0 -3`", "1.1")
    archive = next(entry.path for entry in os.scandir(dump) if entry.name.endswith(".zst"))
    for name, file, words in (
        ("restore", archive, lambda vmid: ["restore", vmid, archive]),
        ("create", site.tar, lambda vmid: ["create", vmid, site.tree]),
    ):
        untar = f"mkdir '{{0}}' && tar -C '{{0}}' --numeric-owner --acls --xattrs -xpf '{file}'"
        found = site.measured(
            name,
            site.words(lambda vmid, _: [*site.pct, *words(vmid), "--rootfs", "local:0"]),
            site.shell(lambda _, path: untar.format(path)),
        )
        what = f"`pct {name}`, directory, archive of {os.path.getsize(file) // 10**6} MB"
        table.put(what, *found, "`tar -x` of the same", "1.2")


def commands(site, table):
    true = ["exec", CONTAINER, "--", "true"]
    *ours, beside = site.measured(
        "exec",
        site.words(lambda *_: [*site.pct, *true]),
        site.words(lambda *_: [*site.pvect, *true]),
        site.words(lambda *_: ["lxc-attach", "-P", f"{site.root.path}/lib/lxc", "-n", CONTAINER, "--", "true"]),
        rounds=OFTEN * ROUNDS,
    )
    for who, runs, goal in zip(("pct", "pvect"), ours, ("3 ms more", "")):
        table.put(f"`{who} exec {CONTAINER} -- true`", runs, beside, "`lxc-attach`", goal, digits=1)


class Connection:
    """One to the node's API that is kept."""

    def __init__(self, bench, name, secret, root):
        self.bench = bench
        words = [bench.PVECT, "node", "serve", "--listen", "127.0.0.1:0"]
        self.child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        port = int(self.child.stdout.readline().rsplit(":", 1)[1])
        trust = ssl.create_default_context(cafile=f"{root.path}/etc/pve/nodes/bench/pve-ssl.pem")
        self.kept = http.client.HTTPSConnection("127.0.0.1", port, context=trust)
        self.headers = {"Authorization": f"PVEAPIToken={name}={secret}"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kept.close()
        self.child.terminate()
        self.child.wait()

    def processor(self):
        return self.bench.cpu_seconds(self.child.pid)

    def list(self):
        self.kept.request("GET", "/api2/json/nodes/bench/lxc", headers=self.headers)
        answer = self.kept.getresponse()
        body = answer.read()
        if answer.status != 200 or body.count(b'"vmid"') != LISTED:
            sys.exit(f"error: the API's list: {answer.status} {body[:200]}")


def lists(site, table):
    """The API's list on a connection that is kept; beside it, the same files are read, and nothing is made of them."""
    configs = site.root.configs

    def read():
        for name in os.listdir(configs):
            with open(f"{configs}/{name}", "rb") as file:
                file.read()
        with open("/proc/net/unix", "rb") as file:
            file.read()

    # Both leave nothing to be done.
    def work(run):
        return lambda: (run, lambda: None)

    name = "root@pam!bench"
    secret = site.bench.run(site.bench.PVECT, "node", "token", "add", name, "--privsep", "0").strip()
    for running, goal in ((0, "5 ms"), (LISTED, "")):
        site.root.configure(LISTED)
        monitors = site.root.monitors(running, "whole") if running else None
        try:
            with Connection(site.bench, name, secret, site.root) as api:
                found = site.measured(
                    f"list-{running}",
                    work(api.list),
                    work(read),
                    rounds=OFTEN * ROUNDS,
                    processors=[api.processor, time.process_time],
                )
        finally:
            if monitors:
                monitors.stdin.close()
                monitors.wait()
        table.put(f"the API's list of {LISTED}, {running} running", *found, "to read their files", goal, digits=1)


def rows(bench, root):
    """The table of all this."""
    table, site = Table(), Site(bench, root)
    clones(site, table)
    archives(site, table)
    bench.run(*site.pvect, "start", CONTAINER)
    copies(site, table)
    commands(site, table)
    bench.run(*site.pvect, "stop", CONTAINER)
    lists(site, table)
    return table.rows

"""Measures workers: many sessions, the ring, prefixes, gaps, embedding.

    serving.py --bin DIRECTORY --socket DIRECTORY --smollm2 FILE --minilm FOLDER
        --tiny FILE [--peer PYTHON] [--engine-bench PROGRAM] [--rounds N]
        [--texts N] [--threads N] [--only PART,...]

Parts: sessions, alone, ring, prefix, gaps, embedding.  Needs a server with llm
preloaded and one worker; scripts/bench-server makes one.  With --peer (a Python
that has llama-cpp-python) sessions are held against llama.cpp's batched
decoding, both taking turns; with --engine-bench one session alone against the
engine without a server.  Best of all rounds; the ratios are the result.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GENERATED = 64
PROMPT = 128
SESSIONS = (1, 8, 32)
TEXT = "/usr/share/common-licenses/GPL-3"


class Server:
    """Statements, pgbench and settings of one server."""

    def __init__(self, arguments):
        self.bin = arguments.bin
        self.environment = dict(
            os.environ, PGHOST=arguments.socket, PGUSER=arguments.user,
            PGDATABASE="postgres")

    def run(self, program, options, settings, text=None):
        assignments = {"llm.execution": "worker", **settings}
        environment = dict(self.environment, PGOPTIONS=" ".join(
            f"-c {name}={value}" for name, value in assignments.items()))
        run = subprocess.run(
            [os.path.join(self.bin, program), *options], env=environment,
            input=text, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            sys.exit(f"{program} failed:\n{run.stdout}{run.stderr}")
        return run.stdout

    def sql(self, statements, **settings):
        """Lines of output; settings with __ for the dot."""
        return self.run(
            "psql", ["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1"],
            {name.replace("__", "."): value
             for name, value in settings.items()},
            statements).splitlines()

    def number(self, statements, **settings):
        return float(self.sql(statements, **settings)[-1])

    def pgbench(self, script, clients, transactions, **settings):
        """Transactions per second, without the time of connecting."""
        output = self.run(
            "pgbench", ["-n", "-f", os.path.join(HERE, script),
                        "-c", str(clients), "-j", str(min(clients, 4)),
                        "-t", str(transactions)],
            {name.replace("__", "."): value
             for name, value in settings.items()})
        failed = re.search(r"failed transactions: (\d+)", output)
        if failed and int(failed.group(1)) > 0:
            sys.exit(f"pgbench: {output}")
        return float(re.search(r"tps = ([0-9.]+)", output).group(1))

    def set(self, **settings):
        """Change settings of the workers, and wait until they have them."""
        for name, value in settings.items():
            self.sql(f"ALTER SYSTEM SET llm.{name} = '{value}'")
        self.sql("SELECT pg_reload_conf()")
        time.sleep(0.5)
        if "worker_threads" in settings:
            self.wait_for(f"SELECT bool_and(threads = "
                          f"{settings['worker_threads']}) "
                          f"FROM llm.stat_workers")

    def wait_for(self, condition):
        for _ in range(100):
            if self.sql(condition) == ["t"]:
                return
            time.sleep(0.1)
        sys.exit(f"waited in vain for: {condition}")


def program_json(command):
    """What a program prints: a JSON object in each line."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{run.stdout}{run.stderr}")
    return [json.loads(line) for line in run.stdout.splitlines()]


def heading(text):
    print(f"\n{text}", flush=True)


def peer_round(arguments):
    """{(engine, sessions): tokens per second} of llama.cpp."""
    lines = program_json(
        [arguments.peer, os.path.join(HERE, "batched_peer.py"),
         "--threads", str(arguments.threads), "--prompt", str(PROMPT),
         "--generate", str(GENERATED), "--repetitions", "1",
         arguments.smollm2, *map(str, SESSIONS)])
    found = {}
    for line in lines:
        found["llama.cpp", line["sequences"]] = line["with_prompts"]
        found["llama.cpp, without prompts", line["sequences"]] = (
            line["generation"])
    return found


def our_round(server, bits):
    found = {}
    for sessions in SESSIONS:
        transactions = max(2, 4 // sessions)
        tps = server.pgbench("serving_generate.sql", sessions, transactions,
                             llm__default_model=f"bench{bits}")
        found[f"llm, {bits} bits", sessions] = tps * GENERATED
    return found


def measure_sessions(server, arguments):
    best = {}
    for _ in range(arguments.rounds):
        rounds = [our_round(server, 16), our_round(server, 8)]
        if arguments.peer:
            rounds.insert(0, peer_round(arguments))
        for found in rounds:
            for key, speed in found.items():
                best[key] = max(best.get(key, 0.0), speed)
    heading(f"generated tokens per second, prompts of {PROMPT} tokens counted "
            f"in, {GENERATED} generated")
    print(f"{'sessions':26}" + "".join(f"{n:>16}" for n in SESSIONS))
    for engine in dict.fromkeys(engine for engine, _ in best):
        cells = []
        for sessions in SESSIONS:
            speed = best[engine, sessions]
            peer = best.get(("llama.cpp", sessions))
            ratio = f"{speed / peer:6.2f}x" if peer else " " * 7
            cells.append(f"{speed:9.1f}{ratio}")
        print(f"{engine:26}" + "".join(cells), flush=True)


def engine_seconds(arguments):
    """Seconds of a prompt and of what is generated, the engine alone."""
    seconds = 0.0
    for task, count, start in (("pp", PROMPT, 0), ("tg", GENERATED, PROMPT)):
        line, = program_json(
            [arguments.engine_bench, arguments.smollm2, task, str(count),
             f"start={start}", f"threads={arguments.threads}"])
        seconds += count / line["tokens_per_second"]
    return seconds


def measure_alone(server, arguments):
    """One session through the worker, and the engine without a server."""
    engine = worker = float("inf")
    for _ in range(3 * arguments.rounds):
        if arguments.engine_bench:
            engine = min(engine, engine_seconds(arguments))
        worker = min(worker, 1 / server.pgbench(
            "serving_generate.sql", 1, 2, llm__default_model="bench16"))
    heading("one session alone, 16 bits: ms of a call")
    print(f"through the worker {worker * 1e3:.1f}")
    if arguments.engine_bench:
        print(f"engine alone       {engine * 1e3:.1f}   worker "
              f"{(worker / engine - 1) * 100:+.1f} %", flush=True)


def ring_call(model, tokens, form):
    options = f'{{"max_tokens": {tokens}, "ignore_eos": true}}'
    what = ("count(*) FROM llm.generate_stream" if form == "stream"
            else "llm.generate")
    return f"SELECT {what}('{model}', 'Once' || $1, '{options}')"


def ring_cost(server, model, tokens, form):
    """Microseconds a token in a backend, and through a worker."""
    spent = {"backend": float("inf"), "worker": float("inf")}
    statement = ring_call(model, tokens, form)
    for _ in range(3):
        for execution in spent:
            spent[execution] = min(spent[execution], server.number(
                f"SELECT seconds_of($q${statement}$q$, 3)",
                llm__execution=execution))
    return [1e6 * seconds / tokens for seconds in spent.values()]


def measure_ring(server, arguments):
    server.set(worker_threads=1)
    heading("cost of the ring, one thread: microseconds a token")
    print(f"{'':26}{'backend':>10}{'worker':>10}{'ring':>10}")
    for model, tokens in (("tiny", 100), ("bench16", 64)):
        for form in ("generate", "stream"):
            backend, worker = ring_cost(server, model, tokens, form)
            print(f"{model + ', ' + form:26}{backend:10.1f}{worker:10.1f}"
                  f"{worker - backend:10.1f}", flush=True)
    server.set(worker_threads=arguments.threads)


def shared_rows(server):
    return server.number(
        "SELECT seconds_of($q$SELECT llm.generate(i.body || q.body, options => "
        "'{\"max_tokens\": 2}') FROM instruction i, question q$q$)",
        llm__default_model="bench16")


def shared_batch(server):
    return server.number(
        "SELECT seconds_of($q$SELECT * FROM llm.generate_batch('bench16', "
        "(SELECT array_agg(i.body || q.body) FROM instruction i, question q),"
        " '{\"max_tokens\": 2}')$q$)")


def shared_sessions(server):
    return 100 / server.pgbench("serving_shared.sql", 100, 1,
                                llm__default_model="bench16")


def measure_prefix(server, arguments):
    """A new instruction each time: nothing of it is known."""
    ways = {"rows, one by one": shared_rows,
            "generate_batch": shared_batch,
            "100 sessions at once": shared_sessions}
    best = {}
    start = 100
    for way, run in ways.items():
        for mode, rounds in (("role", arguments.rounds), ("off", 1)):
            server.set(prefix_cache=mode)
            for _ in range(rounds):
                server.sql(f"TRUNCATE instruction; INSERT INTO instruction "
                           f"SELECT part_from({start}, 400)")
                start += 211
                best[way, mode] = min(best.get((way, mode), float("inf")),
                                      run(server))
    server.set(prefix_cache="role")
    heading("100 prompts with the same first 400 tokens, 2 generated: seconds")
    print(f"{'':26}{'off':>10}{'role':>10}{'ratio':>10}")
    for way in ways:
        off, role = best[way, "off"], best[way, "role"]
        print(f"{way:26}{off:10.2f}{role:10.2f}{off / role:9.2f}x",
              flush=True)


def stream_times(server, number, tokens):
    """When the session got each token, by the server's clock."""
    return [float(line) for line in server.sql(
        f"SELECT body AS prompt FROM prompt WHERE id = {number} \\gset\n"
        f"SELECT extract(epoch FROM clock_timestamp()) "
        f"FROM llm.generate_stream('bench16', :'prompt', "
        f"'{{\"max_tokens\": {tokens}, \"ignore_eos\": true}}');")]


def long_prompt(server, start):
    """From when to when a prompt of 4000 tokens was in work."""
    began, _, ended = server.sql(
        f"SELECT part_from({start}, 4000) AS prompt \\gset\n"
        "SELECT extract(epoch FROM clock_timestamp());\n"
        "SELECT length(llm.generate('bench16', :'prompt', "
        "'{\"max_tokens\": 1}'));\n"
        "SELECT extract(epoch FROM clock_timestamp());")
    return float(began), float(ended)


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def gaps(server, streams, start):
    """Seconds between tokens: alone, and beside the long prompt."""
    tokens = 900 if streams == 1 else 400
    alone = []
    beside = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(stream_times, server, start + i, tokens)
                   for i in range(streams)]
        time.sleep(1.5)
        began, ended = pool.submit(long_prompt, server, start).result()
        for times in (stream.result() for stream in running):
            for before, after in zip(times[1:], times[2:]):
                if before > began and after < ended:
                    beside.append(after - before)
                elif after < began or before > ended:
                    alone.append(after - before)
    return alone, beside


def measure_gaps(server, arguments):
    heading("gaps between tokens of streams, ms; beside: while a prompt of "
            "4000 tokens is read")
    print(f"{'streams':>8}{'':10}{'p50':>8}{'p99':>8}{'max':>8}")
    for streams in (1, 8):
        alone = []
        beside = []
        for i in range(arguments.rounds):
            found = gaps(server, streams, 300 + 300 * i + 10 * streams)
            alone += found[0]
            beside += found[1]
        if len(alone) < 20 or len(beside) < 20:
            sys.exit("streams and the long prompt did not overlap")
        rows = [[quantile(g, 0.5), quantile(g, 0.99), max(g)]
                for g in (alone, beside)]
        for name, row in zip(("alone", "beside"), rows):
            print(f"{streams:8}{name:>10}"
                  + "".join(f"{seconds * 1e3:8.1f}" for seconds in row))
        print(f"{'':8}{'ratio':>10}"
              + "".join(f"{b / a:7.2f}x" for a, b in zip(*rows)), flush=True)


def measure_embedding(server, arguments):
    server.sql(f"TRUNCATE short_text; "
               f"CALL make_short_texts({arguments.texts})")
    statement = (
        "SELECT count(e.embedding) FROM (SELECT array_agg(body ORDER BY id) "
        "FROM short_text GROUP BY (id - 1) / 1000) part (bodies), "
        "LATERAL llm.embed_batch('minilm', bodies) e")
    best = {}
    for _ in range(arguments.rounds):
        for threads in (1, arguments.threads):
            server.set(worker_threads=threads)
            seconds = server.number(
                f"SELECT seconds_of($q${statement}$q$)")
            best[threads] = min(best.get(threads, seconds), seconds)
    heading(f"{arguments.texts} texts of 16 words by embed_batch, q8_0: texts "
            "per second")
    for threads, seconds in best.items():
        print(f"{threads} threads {arguments.texts / seconds:10.1f}"
              f"{best[1] / seconds:9.2f}x", flush=True)


MEASURES = {"sessions": measure_sessions, "alone": measure_alone,
            "ring": measure_ring, "prefix": measure_prefix,
            "gaps": measure_gaps, "embedding": measure_embedding}


def parse_arguments():
    parser = argparse.ArgumentParser(description="speed of workers")
    for name in ("--bin", "--socket", "--user", "--smollm2", "--minilm",
                 "--tiny"):
        parser.add_argument(name, required=True)
    parser.add_argument("--peer", help="a Python that has llama-cpp-python")
    parser.add_argument("--engine-bench", help="the engine without a server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=10000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default=",".join(MEASURES))
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    wanted = arguments.only.split(",")
    for name in wanted:
        if name not in MEASURES:
            sys.exit(f"no part \"{name}\": {', '.join(MEASURES)}")
    server = Server(arguments)
    server.run("psql", ["-X", "-q", "-v", f"smollm2={arguments.smollm2}",
                        "-v", f"minilm={arguments.minilm}",
                        "-v", f"tiny={arguments.tiny}", "-v", f"text={TEXT}",
                        "-f", os.path.join(HERE, "serving.sql")], {})
    server.set(worker_threads=arguments.threads)
    print(f"{arguments.threads} threads, best of {arguments.rounds}")
    for name in wanted:
        MEASURES[name](server, arguments)


if __name__ == "__main__":
    main()

"""Compares the engine's speed with llama.cpp's on one GGUF file or more.

    compare.py [--engine-bench PATH] [--threads N] [--repetitions N] FILE...

Absolute numbers of a shared machine wander by tens of per cent within minutes.
Both engines therefore take turns, each measurement is the best of all
repetitions, and the ratio is what counts.

Ours is a program that is started anew for each measurement:
    engine_bench FILE pp 512 threads=1 bits=16
prints one line of JSON with tokens_per_second; loading is not part of it.
llama.cpp runs in this process, through the low-level interface of
llama-cpp-python.  Its prompt is one batch of 512 tokens (n_batch = n_ubatch =
512); its generation is greedy, after a prompt of 8 tokens.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time

import llama_cpp
import numpy

PROMPT_TOKENS = 512
GENERATED_TOKENS = 64
SHORT_PROMPT_TOKENS = 8


@llama_cpp.llama_log_callback
def silent(level, text, user_data):
    """llama.cpp tells its whole life otherwise."""


class LlamaCpp:
    """One model in one context of llama.cpp."""

    def __init__(self, path, threads):
        model_params = llama_cpp.llama_model_default_params()
        model_params.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(
            path.encode(), model_params)
        if not self.model:
            sys.exit(f"llama.cpp cannot load {path}")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(self.vocab)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = PROMPT_TOKENS + GENERATED_TOKENS
        params.n_batch = PROMPT_TOKENS
        params.n_ubatch = PROMPT_TOKENS
        params.n_threads = threads
        params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit(f"llama.cpp cannot make a context for {path}")

    def close(self):
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def clear(self):
        memory = llama_cpp.llama_get_memory(self.context)
        llama_cpp.llama_memory_clear(memory, True)

    def decode(self, tokens):
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        batch = llama_cpp.llama_batch_get_one(array, len(tokens))
        if llama_cpp.llama_decode(self.context, batch) != 0:
            sys.exit("llama_decode failed")

    def likeliest(self):
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        row = numpy.ctypeslib.as_array(logits, shape=(self.vocabulary,))
        return int(numpy.argmax(row))

    def tokens(self, count):
        """Ordinary tokens, spread over the vocabulary."""
        return [1000 + (i * 7919) % (self.vocabulary - 2000)
                for i in range(count)]

    def prompt(self):
        """Tokens per second of a prompt of PROMPT_TOKENS tokens."""
        tokens = self.tokens(PROMPT_TOKENS)
        self.clear()
        start = time.perf_counter()
        self.decode(tokens)
        self.likeliest()
        return PROMPT_TOKENS / (time.perf_counter() - start)

    def generate(self):
        """Tokens per second of GENERATED_TOKENS greedy steps."""
        self.clear()
        self.decode(self.tokens(SHORT_PROMPT_TOKENS))
        token = self.likeliest()
        start = time.perf_counter()
        for _ in range(GENERATED_TOKENS):
            self.decode([token])
            token = self.likeliest()
        return GENERATED_TOKENS / (time.perf_counter() - start)


def ours(program, path, task, count, threads, bits):
    """Tokens per second of one run of engine_bench."""
    command = [program, path, task, str(count), f"threads={threads}",
               f"bits={bits}"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{run.stdout}{run.stderr}")
    return float(json.loads(run.stdout)["tokens_per_second"])


def measure(path, arguments):
    """{(engine, task): best tokens per second} for one file."""
    peer = LlamaCpp(path, arguments.threads)
    runs = {("llama.cpp", "pp"): peer.prompt,
            ("llama.cpp", "tg"): peer.generate}
    if arguments.engine_bench:
        for bits in (16, 8):
            for task, count in (("pp", PROMPT_TOKENS),
                                ("tg", GENERATED_TOKENS)):
                runs[(f"llm, {bits} bits", task)] = (
                    lambda task=task, count=count, bits=bits: ours(
                        arguments.engine_bench, path, task, count,
                        arguments.threads, bits))
    best = dict.fromkeys(runs, 0.0)
    for _ in range(arguments.repetitions):
        for key, run in runs.items():
            best[key] = max(best[key], run())
    peer.close()
    return best


def report(path, best):
    print(f"\n{os.path.basename(path)}")
    print(f"{'':14} {'prompt ' + str(PROMPT_TOKENS):>12} {'ratio':>7}"
          f" {'generate ' + str(GENERATED_TOKENS):>12} {'ratio':>7}")
    for engine in dict.fromkeys(engine for engine, _ in best):
        cells = []
        for task in ("pp", "tg"):
            speed = best[(engine, task)]
            ratio = speed / best[("llama.cpp", task)]
            cells.append(f"{speed:12.1f} {ratio:6.2f}x")
        print(f"{engine:14} {' '.join(cells)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="tokens per second, ours and llama.cpp's")
    parser.add_argument("--engine-bench", help="our program; without it, only llama.cpp is measured")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    print(f"tokens per second, {arguments.threads} thread(s), best of"
          f" {arguments.repetitions}; llama-cpp-python {llama_cpp.__version__}")
    for path in arguments.files:
        report(path, measure(path, arguments))


if __name__ == "__main__":
    main()

"""Speed of llama.cpp with several sequences in one batch.

    batched_peer.py [--threads N] [--prompt N] [--generate N] [--repetitions N]
        [--unified] FILE SEQUENCES...

What its program batched-bench does, through the low-level interface of
llama-cpp-python: all prompts in batches of 2048 tokens (512 at a time), then
one token of each sequence a step.  Tokens are arbitrary and nothing is
sampled, so the choice of tokens costs the peer no time.  Each sequence has
keys and values of its own, which is faster than unified ones (8 sequences
103 to 86, 32 sequences 107 to 93 tokens per second).

Prints a line of JSON for each number of sequences: generated tokens per second
of the best repetition, with and without the time of the prompts.
"""

import argparse
import ctypes
import json
import sys
import time

import llama_cpp

BATCH = 2048
MICRO_BATCH = 512


@llama_cpp.llama_log_callback
def silent(level, text, user_data):
    """llama.cpp tells its whole life otherwise."""


class Batched:
    """A context for so many sequences of equal length."""

    def __init__(self, model, sequences, arguments):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = sequences * (arguments.prompt + arguments.generate)
        params.n_batch = BATCH
        params.n_ubatch = MICRO_BATCH
        params.n_seq_max = sequences
        params.kv_unified = arguments.unified
        params.n_threads = arguments.threads
        params.n_threads_batch = arguments.threads
        self.context = llama_cpp.llama_init_from_model(model, params)
        if not self.context:
            sys.exit(f"no context for {sequences} sequences")
        vocab = llama_cpp.llama_model_get_vocab(model)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(vocab)
        self.batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self.sequences = sequences
        self.arguments = arguments
        self.made = 0

    def close(self):
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.context)

    def add(self, position, sequence, wanted):
        """An ordinary token, none like the last."""
        at = self.batch.n_tokens
        self.made += 1
        self.batch.token[at] = (
            1000 + (self.made * 7919) % (self.vocabulary - 2000))
        self.batch.pos[at] = position
        self.batch.n_seq_id[at] = 1
        self.batch.seq_id[at][0] = sequence
        self.batch.logits[at] = wanted
        self.batch.n_tokens = at + 1

    def decode(self):
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            sys.exit("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)
        self.batch.n_tokens = 0

    def prompts(self):
        for sequence in range(self.sequences):
            for position in range(self.arguments.prompt):
                if self.batch.n_tokens == BATCH:
                    self.decode()
                self.add(position, sequence,
                         position == self.arguments.prompt - 1)
        self.decode()

    def step(self, position):
        for sequence in range(self.sequences):
            self.add(position, sequence, True)
        self.decode()

    def run(self):
        """Seconds of the prompts, and of what follows."""
        llama_cpp.llama_memory_clear(
            llama_cpp.llama_get_memory(self.context), True)
        begin = time.perf_counter()
        self.prompts()
        between = time.perf_counter()
        for i in range(self.arguments.generate):
            self.step(self.arguments.prompt + i)
        return between - begin, time.perf_counter() - between


def measure(model, sequences, arguments):
    batched = Batched(model, sequences, arguments)
    runs = [batched.run() for _ in range(arguments.repetitions)]
    batched.close()
    generated = sequences * arguments.generate
    return {"sequences": sequences,
            "with_prompts": generated / min(p + g for p, g in runs),
            "generation": generated / min(g for _, g in runs)}


def main():
    parser = argparse.ArgumentParser(
        description="generated tokens per second of llama.cpp in batches")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--unified", action="store_true")
    parser.add_argument("file")
    parser.add_argument("sequences", type=int, nargs="+")
    arguments = parser.parse_args()
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(
        arguments.file.encode(), params)
    if not model:
        sys.exit(f"llama.cpp cannot load {arguments.file}")
    for sequences in arguments.sequences:
        print(json.dumps(measure(model, sequences, arguments)), flush=True)
    llama_cpp.llama_model_free(model)


if __name__ == "__main__":
    main()

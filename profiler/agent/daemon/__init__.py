"""The detached part of the agent: keeps the lease, the queue and the journal, and keeps a worker alive."""

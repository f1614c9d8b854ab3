"""The jail: what keeps a submission's code away from the grader, the course and the other submissions.

Two walls. `outer` puts the nursery, the process that forks students, into name spaces of its own: a tree that holds
only what was named, read-only; no network; no other process; no root. `inner` forks W from it, one for each submission,
into name spaces nested in those: three empty folders of limited size to write in, no capability, no descriptor but
those kept, a clean environment, a seccomp filter over the system calls that reach out of a process, and limits of
memory, processes, files and time. `watch` measures W from outside; killing W kills all that it started.
`tiers` tries what this machine allows: A (name spaces), B (Landlock and seccomp in place of name spaces) or C (limits
only). `tree` lays out the read-only tree, `filter` and `landlock` build the rules, `syscalls` talks to the kernel.
What is not capped without a memory cgroup: kernel memory such as the buffers of sockets and pipes.
"""

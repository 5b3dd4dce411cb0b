"""The cluster that a sweep runs on, before anything is paid: its file checked, what a sweep will take, and a rehearsal of it on this machine."""

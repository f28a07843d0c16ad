#!/bin/sh
# Stands before a tool in the PATH of the daemon under test, and does what BANGER_CRASH_ACT says. That comes in the
# environment of the one process that is meant: of two that run at the same time, a file could reach the other one.
folder=${0%/*}
tool=${0##*/}
PATH=${PATH#*:}
act=$BANGER_CRASH_ACT
unset BANGER_CRASH_ACT
case $act in
  hold)
    # Until the next daemon is up: what an orphan of the killed one then makes must be undone as well.
    : >"$folder/.held"
    while [ ! -e "$folder/.go" ]; do sleep 0.1; done
    ;;
  exit1) echo "$tool: an injected failure" >&2; exit 1 ;;
  eperm) echo "$tool: Operation not permitted" >&2; exit 1 ;;
  enospc) echo "$tool: write error: No space left on device" >&2; exit 1 ;;
  hang)
    case $tool in
      # Known by its arguments, which it has to keep.
      qemu-system-*) export STUB_VMM_HANGS=1 ;;
      *) exec sleep 600 ;;
    esac
    ;;
esac
exec "$tool" "$@"

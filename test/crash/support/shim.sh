#!/bin/sh
# Stands before a tool in the PATH of the daemon under test, and does once what .act-TOOL says.
folder=${0%/*}
tool=${0##*/}
PATH=${PATH#*:}
if [ -e "$folder/.act-$tool" ]; then
  read -r act <"$folder/.act-$tool"
  rm -f "$folder/.act-$tool"
  case $act in
    hold)
      # Until the next daemon is up: what an orphan of the killed one then makes must be undone as well.
      : >"$folder/.held"
      while [ ! -e "$folder/.go" ]; do sleep 0.01; done
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
fi
exec "$tool" "$@"

#!/bin/sh
# Claims to listen at $ADDR, as chatd does, leaves its process id in $PID_FILE, and does nothing.
[ "$1" = --version ] && exit
echo $$ > "$PID_FILE"
echo "listening addr=$ADDR" >&2
exec sleep 600

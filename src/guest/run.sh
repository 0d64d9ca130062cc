# Runs $d/script. Prints `status N`, `stray NAME`…, `size BYTES`, an empty line, and then the first $fetch bytes
# of its stdout if it succeeded, else the last lines of all it wrote.
cd /
unset LC_ALL
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
umask 022
if [ -c /dev/console ]; then exec 5>/dev/console; else exec 5>/dev/null; fi
: >"$d/strays"

# Ends processes the script left behind: those in our root whose parent is gone. They would keep the file system
# busy, and our pipes open.
end_strays() {
    round=0
    while [ "$round" -lt 40 ]; do
        found=
        for entry in /proc/[0-9]*; do
            process=${entry#/proc/}
            [ "$process" != "$$" ] && [ "$entry/root" -ef / ] || continue
            name= state= parent=
            while read -r key value; do
                case $key in
                    Name:) name=$value ;;
                    State:) state=$value ;;
                    PPid:) parent=$value; break ;;
                esac
            done 2>/dev/null <"$entry/status"
            case $parent$state in 1[!0-9Z]*) ;; *) continue ;; esac
            found=1
            echo "stray $name" >>"$d/strays"
            if [ "$round" -lt 20 ]; then kill -TERM "$process"; else kill -KILL "$process"; fi 2>/dev/null
        done
        [ -n "$found" ] || break
        round=$((round + 1))
        sleep 0.25
    done
}

# Shows what comes in on the console, which is slow, and keeps it in the log. Someone who writes more than a few
# thousand lines delivers data; that goes to the log alone.
show() {
    shown=0
    while [ "$shown" -lt "$lines" ] && { IFS= read -r line || [ -n "$line" ]; }; do
        printf '%s\n' "$line" >&4
        printf '%s%s\n' "$mark" "$line" >&5
        shown=$((shown + 1))
    done 4>"$d/log"
    if [ "$shown" -eq "$lines" ]; then
        printf '%s(what follows is not shown here)\n' "$mark" >&5
        cat >>"$d/log"
    fi
    printf '%s%s\n' "$end" "$d" >&5
}

{
    {
        /bin/sh -eu "$d/script" </dev/null 2>&3 3>&- 5>&-
        echo "status $?" >"$d/status"
        end_strays
    } | tee "$d/out"
} 3>&1 | show

size=$(wc -c <"$d/out")
cat "$d/status" "$d/strays"
echo "size $size"
echo
if [ "$(cat "$d/status")" = "status 0" ]; then
    head -c "$fetch" "$d/out"
    # The caller fetches the rest.
    [ "$size" -le "$fetch" ] || exit 0
else
    tail -n 200 "$d/log"
fi
rm -rf "$d"

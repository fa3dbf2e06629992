# Runs a program in a mount namespace where every PostgreSQL of this machine is hidden. Usage: sh without-postgres.sh OWN HIDDEN FILE PROGRAM…
#
# A shorter PATH would hide too little, because the usual places are searched as well.
#
# It also hides the time zones (small images have none), the user postgres, and what other programs keep in /var/cache and /var/lib.
#
# OWN: a directory of the caller's, with the directory `cache` in it. HIDDEN: names of more programs to hide. A hidden program is /dev/null,
# which cannot be executed. FILE is mounted as OWN/test, where every user can read it.
set -e

if [ "$1" != mounts ]; then
    if [ "$(id -u)" = 0 ]; then exec unshare --mount sh "$0" mounts "$@"; fi
    # Only root of the namespace may mount. A second namespace inside it gives the user their own id back.
    user=$(id -u); group=$(id -g); own=$1; hidden=$2; file=$3; shift 3
    exec unshare --user --map-root-user --mount sh "$0" mounts "$own" "$hidden" "$file" \
        unshare --user --map-user "$user" --map-group "$group" "$@"
fi

own=$2; hidden=$3; file=$4; shift 4
for place in /usr/lib/postgresql /usr/pgsql-* /opt/homebrew/opt /usr/local/opt /home/linuxbrew/.linuxbrew/opt /usr/share/zoneinfo \
    /var/lib; do
    if [ -d "$place" ]; then mount -t tmpfs none "$place"; fi
done
separator=$IFS; IFS=:; set -f
for directory in $PATH; do
    IFS=$separator
    for program in pg_config postgres initdb psql $hidden; do
        if [ -e "$directory/$program" ]; then mount --bind /dev/null "$directory/$program"; fi
    done
done
IFS=$separator; set +f
sed /^postgres:/d /etc/passwd >"$own/passwd"
mount --bind "$own/passwd" /etc/passwd
mount --bind "$own/cache" /var/cache
mount --bind "$file" "$own/test"
cd "$own"
umask 077
exec "$@"

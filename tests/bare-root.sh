# Runs a program in a root file system of its own: a new, empty one, which has this machine's /usr and /opt and nothing else of it. There is no
# PostgreSQL, no home directory with settings, no cache and no variable. Usage: sh bare-root.sh ROOT PROJECT TARGET PROGRAM…
#
# ROOT: an empty directory, where the file system is put together. PROJECT and TARGET: the checkout and its target directory. They and
# Rust's own directories have the same paths inside.
set -e

if [ "$1" != mounts ]; then
    if [ "$(id -u)" = 0 ]; then exec unshare --mount sh "$0" mounts "$@"; fi
    # Only root of the namespace may mount. A second namespace inside it gives the user their own id back.
    user=$(id -u); group=$(id -g); root=$1; project=$2; target=$3; shift 3
    exec unshare --user --map-root-user --mount sh "$0" mounts "$root" "$project" "$target" \
        unshare --user --map-user "$user" --map-group "$group" "$@"
fi

root=$2; project=$3; target=$4; shift 4
mount -t tmpfs -o mode=755 none "$root"

# The same path inside, if it is there.
share() {
    for path in "$@"; do
        if [ -d "$path" ]; then
            mkdir -p "$root$path"
            mount --rbind "$path" "$root$path"
        elif [ -e "$path" ]; then
            mkdir -p "$root${path%/*}"
            : >"$root$path"
            mount --bind "$path" "$root$path"
        fi
    done
}

share /usr /opt /dev /proc
for link in bin lib lib32 lib64 sbin; do
    if [ -L "/$link" ]; then ln -s "$(readlink "/$link")" "$root/$link"; else share "/$link"; fi
done
for place in /usr/lib/postgresql /usr/pgsql-* /usr/share/zoneinfo; do
    if [ -d "$root$place" ]; then mount -t tmpfs none "$root$place"; fi
done
for program in pg_config postgres initdb psql pgbouncer; do
    for directory in /usr/bin /usr/sbin /usr/local/bin; do
        if [ -e "$root$directory/$program" ]; then mount --bind /dev/null "$root$directory/$program"; fi
    done
done

mkdir -m 755 "$root/etc"
# What names, certificates and the C compiler's name need, and the settings of package registries.
share /etc/ssl /etc/ca-certificates /etc/pki /etc/alternatives /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/resolv.conf \
    /etc/hosts /etc/nsswitch.conf /etc/pip.conf
{
    echo 'root:x:0:0:root:/root:/bin/sh'
    echo 'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin'
} >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
mkdir -m 755 "$root/root" "$root/var" "$root/var/cache" "$root/var/lib"
mkdir -m 1777 "$root/tmp"
rustup=${RUSTUP_HOME:-$HOME/.rustup}; cargo=${CARGO_HOME:-$HOME/.cargo}
share "$rustup" "$cargo" "$project"
case $target in "$project"/*) ;; *) share "$target" ;; esac

# How this machine reaches the package registries.
registries=$(env | sed -n 's/^\(PIP_[A-Z_]*\|[A-Za-z]*_CERT_FILE\|REQUESTS_CA_BUNDLE\|[A-Za-z]*_PROXY\|[a-z]*_proxy\)=.*/\1/p')
for name in $registries; do
    eval "value=\$$name"
    set -- "$name=$value" "$@"
done
umask 077
cd "$root"
mkdir mnt
# A user namespace cannot be made in a `chroot`.
pivot_root . mnt
umount -l /mnt
exec env -i PATH="$cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root \
    RUSTUP_HOME="$rustup" CARGO_HOME="$cargo" CARGO_TARGET_DIR="$target" CARGO_NET_OFFLINE=true "$@"

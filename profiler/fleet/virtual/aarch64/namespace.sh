# The first process of an emulated board, in process and mount namespaces of its own.
#   sh namespace.sh ROOT STATE HOME REGISTRATION COMMAND...
# ROOT is the system; STATE holds home, run, sys, cpuinfo, machine-id, boot_id and binfmt; HOME is where the board has its
# home; REGISTRATION tells the kernel which emulator runs aarch64 programs.
set -eu
root=$1 state=$2 home=$3 registration=$4
shift 4
# the end of our input ends the board: this shell is the first process of its namespace, and takes all others with it
exec 3<&0 </dev/null
trap 'exit 0' USR1
{ cat <&3 >/dev/null || :; kill -USR1 1; } &
mount -t binfmt_misc binfmt_misc "$state/binfmt"
if ! [ -e "$state/binfmt/edgecost-aarch64" ]; then
    printf '%s' "$registration" >"$state/binfmt/register" || [ -e "$state/binfmt/edgecost-aarch64" ]
fi
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
cd "$root"  # the mount, not the folder below it
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
ln -s /proc/self/fd dev/fd
mkdir -m 1777 dev/shm
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs run
mkdir run/sshd run/board
mount --bind "$state/run" run/board
mount --bind "$state/home" ".$home"
# never this machine's own /sys: runtimes look for their processor there, and end when they find another
mount --bind -o ro "$state/sys" sys
mount --bind "$state/machine-id" etc/machine-id
mount -t proc proc proc
mount --bind "$state/cpuinfo" proc/cpuinfo
mount --bind "$state/boot_id" proc/sys/kernel/random/boot_id
chroot . "$@" 3<&- &
wait $!

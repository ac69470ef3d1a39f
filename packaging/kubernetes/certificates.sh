#!/bin/sh
# Makes an authority and one certificate with the names of all pods, for links between nodes: `certificates.sh FOLDER [DAYS]`.
# With an authority in the folder (ca.crt, ca.key), it signs a new certificate by that one.
set -eu
folder=${1:-}
days=${2:-365}
if [ -z "$folder" ] || ! [ "$days" -gt 0 ] 2>/dev/null; then
    echo "usage: certificates.sh FOLDER [DAYS]" >&2
    exit 2
fi
umask 077
mkdir -p "$folder"
cd "$folder"
if { [ -e ca.crt ] || [ -e ca.key ]; } && ! { [ -e ca.crt ] && [ -e ca.key ]; }; then
    echo "certificates.sh: $folder holds one of ca.crt and ca.key: put the other one back, as nodes trust certificates of this authority alone" >&2
    exit 1
fi
trap 'rm -f ca.key.new ca.crt.new tls.key.new tls.crt.new tls.csr tls.ext openssl.log' EXIT
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"

names=""
for number in 0 1 2 3 4 5 6; do # seven pods are more than a cluster needs
    names="$names${names:+,}DNS:chronos-$number,DNS:chronos-$number.chronos-nodes"
done

# Says something only where it fails.
ssl() {
    openssl "$@" 2>openssl.log || {
        cat openssl.log >&2
        exit 1
    }
}

# shellcheck disable=SC2086 # a list
if [ ! -e ca.key ]; then
    ssl req -x509 $key -keyout ca.key.new -out ca.crt.new -days 3650 -subj "/CN=chronos nodes"
    mv ca.key.new ca.key
    mv ca.crt.new ca.crt
fi
# shellcheck disable=SC2086
ssl req $key -keyout tls.key.new -out tls.csr -subj "/CN=chronos"
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" >tls.ext
ssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -out tls.crt.new -extfile tls.ext
mv tls.key.new tls.key
mv tls.crt.new tls.crt

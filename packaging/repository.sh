#!/bin/sh
# Makes a signed repository for apt, or puts further packages into it: `packaging/repository.sh FOLDER KEY DEB...`.
# KEY is a key of gpg that can sign, by fingerprint or mail address. packaging/repo.md explains.
set -eu
if [ "$#" -lt 3 ]; then
    echo "usage: packaging/repository.sh FOLDER KEY DEB..." >&2
    exit 2
fi
folder=$1
key=$2
shift 2
index=stable/main/binary-$(dpkg --print-architecture)
for deb in "$@"; do
    dpkg-deb --info "$deb" >/dev/null || exit 1 # says what is wrong
done
signer=$(gpg --batch --with-colons --list-secret-keys "$key" 2>/dev/null | sed -n 's/^fpr:*\([0-9A-F]*\):$/\1/p' | head -1)
if [ -z "$signer" ]; then
    echo "packaging/repository.sh: gpg has no secret key $key" >&2
    exit 1
fi
mkdir -p "$folder/pool"
# One that is there may hold several, where keys change.
[ -e "$folder/chronos.gpg" ] || gpg --batch --export --output "$folder/chronos.gpg" "$signer"
if ! gpg --batch --with-colons --show-keys "$folder/chronos.gpg" | grep -q "^fpr:*$signer:"; then
    echo "packaging/repository.sh: machines would not trust $key, as $folder/chronos.gpg does not hold it: packaging/repo.md, \"A new key\"" >&2
    exit 1
fi
for deb in "$@"; do
    cp "$deb" "$folder/pool/.new"
    mv "$folder/pool/.new" "$folder/pool/$(basename "$deb")"
done
cd "$folder"

# All of it is made aside, and then takes the place of the index of before.
rm -rf dists.new dists.old
mkdir -p "dists.new/$index"
apt-ftparchive packages pool >"dists.new/$index/Packages"
gzip -9nk "dists.new/$index/Packages"
apt-ftparchive -o APT::FTPArchive::Release::Origin=Chronos -o APT::FTPArchive::Release::Suite=stable \
    -o APT::FTPArchive::Release::Codename=stable -o APT::FTPArchive::Release::Components=main \
    -o "APT::FTPArchive::Release::Architectures=$(dpkg --print-architecture)" release dists.new/stable >Release.new
mv Release.new dists.new/stable/Release
gpg --batch --local-user "$signer" --clearsign --output dists.new/stable/InRelease dists.new/stable/Release
gpg --batch --local-user "$signer" --armor --detach-sign --output dists.new/stable/Release.gpg dists.new/stable/Release
[ ! -e dists ] || mv dists dists.old
mv dists.new dists
rm -rf dists.old

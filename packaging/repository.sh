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
index=dists/stable/main/binary-$(dpkg --print-architecture)
mkdir -p "$folder/pool" "$folder/$index"
cp "$@" "$folder/pool"
cd "$folder"

apt-ftparchive packages pool >"$index/Packages"
gzip -9nkf "$index/Packages"
apt-ftparchive -o APT::FTPArchive::Release::Origin=Chronos -o APT::FTPArchive::Release::Suite=stable \
    -o APT::FTPArchive::Release::Codename=stable -o APT::FTPArchive::Release::Components=main \
    -o "APT::FTPArchive::Release::Architectures=$(dpkg --print-architecture)" release dists/stable >Release.new
mv Release.new dists/stable/Release
gpg --batch --yes --local-user "$key" --clearsign --output dists/stable/InRelease dists/stable/Release
gpg --batch --yes --local-user "$key" --armor --detach-sign --output dists/stable/Release.gpg dists/stable/Release
# One that is there may hold several, where keys change.
[ -e chronos.gpg ] || gpg --batch --export --output chronos.gpg "$key"

/**
 * What runs in the guest: POSIX sh and git. They answer with exit codes of their own for what has a remedy of its
 * own; everything else is told on standard error.
 */
export const guestExit = {
  noGit: 41,
  /** The folder is there and has something in it. */
  occupied: 42,
  noRepository: 43,
  /** `--base-commit` is not known there. */
  noBase: 44,
} as const;

const begin = `set -eu
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY
command -v git >/dev/null 2>&1 || exit ${String(guestExit.noGit)}
trap 'exit 129' HUP INT TERM
`;

/**
 * Arguments: folder, branch (empty: detached), base commit (empty: none), commit of the index, commit of the working
 * tree, object format. Standard input: lines `shallow ID`, `ref ID NAME`, `submodule PATH`, `config KEY VALUE`, then
 * `pack` and a pack.
 */
export const unpackScript = `${begin}
path=$1 branch=$2 base=$3 index=$4 tree=$5 format=$6
if [ -e "$path" ] || [ -L "$path" ]; then
  { [ -d "$path" ] && [ -z "$(ls -A "$path")" ]; } || exit ${String(guestExit.occupied)}
fi
trap 'code=$?; [ $code -eq 0 ] || { cd /; rm -rf "$path"; }' EXIT
mkdir -p "$path"
case $format in
  sha1) git -c init.defaultBranch=main init -q "$path" ;;
  *) git -c init.defaultBranch=main init -q --object-format="$format" "$path" ;;
esac
cd "$path"
while IFS= read -r line && [ "$line" != pack ]; do
  rest=\${line#* }
  case $line in
    'shallow '*) printf '%s\\n' "$rest" >>.git/shallow ;;
    'ref '*) printf '%s\\n' "$rest" >>.git/packed-refs ;;
    'submodule '*) printf '%s\\n' "$rest" >>.git/banger-submodules ;;
    'config '*) git config "\${rest%% *}" "\${rest#* }" ;;
  esac
done
git index-pack --stdin >/dev/null
empty=$(git hash-object -w -t tree /dev/null)
if [ -z "$branch" ]; then printf '%s\\n' "$base" >.git/HEAD
else printf 'ref: refs/heads/%s\\n' "$branch" >.git/HEAD; fi
{
  printf 'create refs/banger/base %s\\ncreate refs/banger/in %s\\n' "\${base:-$empty}" "$tree"
  [ -z "$branch" ] || [ -z "$base" ] || printf 'update refs/heads/%s %s\\n' "$branch" "$base"
} | git update-ref --stdin
{ [ -z "$base" ] || printf '%s\\n' "$base"; [ ! -f .git/packed-refs ] || cut -d ' ' -f 1 .git/packed-refs; } >.git/banger-known
git read-tree "$tree"
git checkout-index -q -u -a -f
git read-tree -m "$index"
`;

/** The working tree as it would be committed, ignored files aside, by an index of its own: the user's stays. */
const snapshot = `${begin}
path=$1
cd "$path" 2>/dev/null || exit ${String(guestExit.noRepository)}
[ -e .git ] || exit ${String(guestExit.noRepository)}
own=$(git rev-parse --git-path index)
copy=$(mktemp "\${TMPDIR:-/tmp}/banger-index.XXXXXX")
trap 'rm -f "$copy" "$copy.lock"' EXIT
if [ -f "$own" ]; then cp -p "$own" "$copy"; else rm -f "$copy"; fi
GIT_INDEX_FILE=$copy git -c advice.addEmbeddedRepo=false -c core.safecrlf=false -c core.fsmonitor=false add -A .
tree=$(GIT_INDEX_FILE=$copy git write-tree)
`;

/** Arguments: folder, base (a tree or a commit). Standard output: `tree ID`, then a patch from the base. */
export const exportScript = `${snapshot}
base=$2
git rev-parse -q --verify --end-of-options "$base^{tree}" >/dev/null 2>&1 || exit ${String(guestExit.noBase)}
printf 'tree %s\\n' "$tree"
git -c core.quotePath=true diff-tree -r -p -M --binary --full-index --no-color --no-ext-diff --no-textconv \\
  --src-prefix=a/ --dst-prefix=b/ --submodule=short --ignore-submodules=none "$base^{tree}" "$tree"
`;

/**
 * Arguments: folder, base commit (empty: none), tree that both sides had in common, how many files to list.
 * Standard output: a line a fact, then `files` and lines of --name-status.
 */
export const statusScript = `${snapshot}
base=$2 shared=$3 most=$4
printf 'tree %s\\n' "$tree"
head=$(git rev-parse -q --verify HEAD || :)
printf 'head %s\\n' "$head"
printf 'branch %s\\n' "$(git symbolic-ref -q --short HEAD || :)"
if [ -n "$head" ]; then
  if [ -n "$base" ]; then commits=$(git rev-list --count "$base..HEAD" 2>/dev/null || echo 0)
  else commits=$(git rev-list --count HEAD); fi
else commits=0; fi
printf 'commits %s\\n' "$commits"
elsewhere=$({ [ ! -f .git/banger-known ] || sed 's/^/^/' .git/banger-known; [ -z "$head" ] || echo "^$head"; } |
  git rev-list --count --ignore-missing --branches --glob=refs/stash --stdin)
printf 'elsewhere %s\\n' "$elsewhere"
links=$(GIT_INDEX_FILE=$copy git ls-files -s | grep -c '^160000 ' || :)
known=$(git ls-tree -r refs/banger/in | grep -c '^160000 ' || :)
inner=$((links > known ? links - known : 0))
if [ -f .git/banger-submodules ]; then
  while IFS= read -r sub; do
    rm -f "$copy"
    [ "$(cd "$sub" && cp -p "$(git rev-parse --git-path index)" "$copy" && GIT_INDEX_FILE=$copy git add -A . &&
      GIT_INDEX_FILE=$copy git write-tree)" = "$(cd "$sub" && git rev-parse 'refs/banger/in^{tree}')" ] ||
      inner=$((inner + 1))
  done <.git/banger-submodules
fi
printf 'inner %s\\n' "$inner"
git cat-file -e "$shared" 2>/dev/null || shared=refs/banger/base
echo files
git -c core.quotePath=true diff-tree -r --no-renames --name-status "$shared" "$tree" | head -n "$most"
`;

/** Argument: a folder that an unpackScript made a moment ago. */
export const removeScript = `rm -rf "$1"`;

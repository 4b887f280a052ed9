#!/usr/bin/env bash
# check-report-page.sh FILE [REPORT.json]
# Opens a report page in headless Chromium at 1280 and 400 pixels and fails unless it fits, stays silent on the console, loads nothing, and
# holds every case of the report (given as JSON; without it, every case that its own table lists).
set -euo pipefail
page=$(realpath "${1:?usage: check-report-page.sh FILE [REPORT.json]}")
report=${2:-}
chromium=${CHROMIUM:-chromium}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
complain() { echo "$(basename "$page"): $*" >&2; status=1; }

# The policy makes the browser refuse and report whatever the page would fetch.
grep -q "Content-Security-Policy\" content=\"default-src 'none'" "$page" || complain "has no policy against fetching"
if grep -nEi '<(script|img|iframe|audio|video|source)[^>]*\ssrc=|<link[^>]*href="(https?:)?//|@import|url\((https?:)?//' "$page"; then complain "names something to fetch"; fi

if [ -n "$report" ]; then
  python3 - "$page" "$report" <<'PY' || status=1
import html, json, re, sys
text = open(sys.argv[1], encoding="utf-8").read()
shown = {html.unescape(i) for i in re.findall(r'data-case="([^"]*)"', text)}
missing = sorted({r["info"]["id"] for r in json.load(open(sys.argv[2], encoding="utf-8"))["results"]} - shown)
if missing:
    sys.exit(f"{len(missing)} cases are not on the page: {', '.join(missing[:5])}")
PY
fi

# The same page, measuring itself when it has loaded, in a frame: a window is never as narrow as a telephone.
python3 - "$page" "$scratch/page.html" <<'PY'
import sys
text = open(sys.argv[1], encoding="utf-8").read()
probe = """<script>addEventListener('load', function () {
  document.querySelectorAll('details').forEach(function (d) { d.open = true; });
  var root = document.documentElement, wide = [];
  document.querySelectorAll('body *').forEach(function (e) {
    if (!e.closest('.scroll') && e.getBoundingClientRect().right > root.clientWidth + 1 && wide.length < 3) { wide.push(e.tagName + '.' + e.className); }
  });
  parent.postMessage([innerWidth, root.scrollWidth, performance.getEntriesByType('resource').length,
    document.querySelectorAll('tr[data-case]').length, wide.join(' ')].join('|'), '*');
});</script></body>"""
head, _, tail = text.rpartition("</body>")
open(sys.argv[2], "w", encoding="utf-8").write(head + probe + tail)
PY
for width in 1280 400; do
  cat >"$scratch/frame.html" <<HTML
<!DOCTYPE html><body style="margin:0"><iframe src="page.html" width="$width" height="900" style="border:0"></iframe>
<script>addEventListener('message', function (e) { document.documentElement.dataset.probe = e.data; });</script></body>
HTML
  timeout 60 "$chromium" --headless --no-sandbox --disable-gpu --disable-background-networking --user-data-dir="$scratch/profile" --enable-logging=stderr \
    --window-size=1400,900 --virtual-time-budget=4000 --dump-dom "file://$scratch/frame.html" >"$scratch/dom" 2>"$scratch/log" || complain "Chromium failed at $width"
  probe=$(grep -o 'data-probe="[^"]*"' "$scratch/dom" | head -1 | cut -d'"' -f2 || true)
  IFS='|' read -r inner scroll resources rows wide <<<"$probe"
  if [ -z "$probe" ]; then complain "said nothing at $width"; continue; fi
  [ "$inner" = $width ] || complain "was shown at $inner instead of $width"
  [ "$scroll" -le "$inner" ] || complain "is $scroll wide at $width ($wide)"
  [ "$resources" = 0 ] || complain "loaded $resources resources"
  [ "$rows" -gt 0 ] || complain "lists no case"
  if grep CONSOLE "$scratch/log"; then complain "wrote on the console at $width"; fi
  echo "$(basename "$page") at $width: ${scroll} wide, $rows cases, nothing loaded"
done
exit $status

"""How reports look: one style sheet for the page and its drawings, light or dark as the reader's system is."""

from __future__ import annotations

LIGHT = {
    "paper": "#ffffff",
    "ink": "#16202c",
    "muted": "#5a6675",
    "rule": "#d5dce4",
    "panel": "#f5f7fa",
    "pass": "#17703a",
    "pass-back": "#dcf2e3",
    "fail": "#b3261e",
    "fail-back": "#fbe1df",
    "inconclusive": "#7d5700",
    "inconclusive-back": "#fcefc9",
    "link": "#7a8796",
    "bar": "#dbe7f5",
    "bar-ink": "#1d4a7f",
    "router": "#eef1f5",
    "gre": "#7a3fb0",
    "esp": "#b0540a",
    "lit": "#0b66d8",
    "sent": "#5a6675",
    "way0": "#cfe3fb",
    "way1": "#fbdcb8",
    "way2": "#ddd0f2",
    "way3": "#cdebdc",
}
DARK = {
    "paper": "#12171e",
    "ink": "#e4e9ef",
    "muted": "#9aa7b6",
    "rule": "#323c48",
    "panel": "#1a212a",
    "pass": "#63cf8c",
    "pass-back": "#173725",
    "fail": "#ff8a80",
    "fail-back": "#4a1c1a",
    "inconclusive": "#efc45a",
    "inconclusive-back": "#42330f",
    "link": "#7c8998",
    "bar": "#20364f",
    "bar-ink": "#a9ccf5",
    "router": "#232c37",
    "gre": "#c79bf0",
    "esp": "#f0a660",
    "lit": "#6db1ff",
    "sent": "#9aa7b6",
    "way0": "#21466f",
    "way1": "#6a4415",
    "way2": "#49336b",
    "way3": "#1f5139",
}

# No rule names an ancestor: in what <use> copies none would be found.
DRAWING = """
svg{font-family:system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
text{fill:var(--ink);font-size:11px}
.box{fill:var(--paper);stroke:var(--ink);stroke-width:1.3}
.box.router{fill:var(--router)}
.segment{fill:var(--bar);stroke:var(--bar-ink);stroke-width:1}
text.name{font-size:13px;font-weight:600}
text.kind{fill:var(--muted)}
text.address,text.prefix{font-family:ui-monospace,"DejaVu Sans Mono",monospace}
text.wire-name{font-size:13px;font-weight:600;fill:var(--bar-ink)}
text.prefix{fill:var(--bar-ink)}
.link{fill:none;stroke:var(--link);stroke-width:1.6}
.link.gre,.link.esp{stroke-width:2.2;stroke-dasharray:7 4}
.link.gre{stroke:var(--gre)}
.link.esp{stroke:var(--esp)}
.chip{fill:var(--paper);stroke-width:1.2}
.chip.gre{stroke:var(--gre)}
.chip.esp{stroke:var(--esp)}
text.tunnel.gre{fill:var(--gre);font-weight:600}
text.tunnel.esp{fill:var(--esp);font-weight:600}
.faint{opacity:.4}
.lit{fill:none;stroke:var(--lit);stroke-width:4;stroke-linecap:round}
.lit.other{stroke-width:2.4;opacity:.75;stroke-dasharray:1 5}
.path .box{stroke:var(--lit);stroke-width:2.2}
.lost.share{stroke:none}
text.lane{fill:var(--muted)}
text.way-text{fill:var(--ink)}
.ground{fill:var(--panel)}
.sent{stroke:var(--sent);stroke-width:1.2;fill:var(--sent)}
.got{stroke:var(--pass);stroke-width:1.2;fill:var(--pass)}
.lost{stroke:var(--fail);stroke-width:1.5;fill:var(--fail)}
.gap{fill:var(--fail);opacity:.14}
.bracket{stroke:var(--fail);stroke-width:1.4;fill:none}
text.gap-text{fill:var(--fail);font-weight:600;font-size:12px}
.event{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:4 3}
text.event-text{font-weight:600;font-size:12px}
.halo{fill:var(--paper);opacity:.85}
.allowed{fill:var(--pass-back);stroke:var(--pass)}
.early{fill:var(--fail-back);stroke:var(--fail)}
.delay{stroke:var(--lit);stroke-width:1.3;fill:none}
.axis{stroke:var(--muted);stroke-width:1;fill:none}
.grid{stroke:var(--rule);stroke-width:1;fill:none}
text.tick{fill:var(--muted)}
.way0{fill:var(--way0)}
.way1{fill:var(--way1)}
.way2{fill:var(--way2)}
.way3{fill:var(--way3)}
"""

PAGE = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:20px 20px 60px}
h1{font-size:26px;margin:0 0 6px;line-height:1.25}
h2{font-size:20px;margin:40px 0 10px;padding-bottom:4px;border-bottom:1px solid var(--rule)}
h3{font-size:15px;margin:22px 0 8px;color:var(--muted)}
h4{font-size:14px;margin:18px 0 6px}
p{margin:6px 0;max-width:82ch}
a{color:var(--lit)}
code,.mono,td.packet{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:13px}
.badge{display:inline-block;padding:0 9px;border-radius:5px;font-weight:700;font-size:13px;
line-height:22px;white-space:nowrap}
h1 .badge{font-size:20px;line-height:34px;padding:0 14px;margin-right:10px;vertical-align:2px}
.badge.pass{color:var(--pass);background:var(--pass-back)}
.badge.fail{color:var(--fail);background:var(--fail-back)}
.badge.inconclusive{color:var(--inconclusive);background:var(--inconclusive-back)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 16px;margin:10px 0}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
dd.reason{color:var(--fail);font-weight:600}
figure{margin:12px 0;overflow-x:auto}
figure svg{display:block;max-width:100%;height:auto}
figure.wide svg{min-width:760px}
.side svg,.ways svg{max-height:440px;width:auto}
figcaption{color:var(--muted);font-size:13px;margin-top:4px}
details{border:1px solid var(--rule);border-radius:7px;margin:6px 0;background:var(--paper)}
summary{cursor:pointer;padding:7px 12px 7px 30px;display:grid;position:relative;
grid-template-columns:128px 150px 1fr max-content;gap:0 12px;align-items:baseline}
summary::-webkit-details-marker{display:none}
summary::before{content:"▸";position:absolute;left:12px;top:7px;color:var(--muted)}
details[open]>summary::before{content:"▾"}
summary .id{font-weight:600;overflow-wrap:anywhere}
summary .number{font-variant-numeric:tabular-nums;white-space:nowrap}
details.plain>summary{display:block;color:var(--muted)}
details>.inside{padding:2px 14px 12px;border-top:1px solid var(--rule)}
.side{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,430px);gap:0 24px;align-items:start}
.ways{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:0 20px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;color:var(--muted);font-weight:600;white-space:nowrap}
th,td{padding:3px 12px 3px 0;border-bottom:1px solid var(--rule);vertical-align:top}
td.right,th.right{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.clear{color:var(--lit);white-space:nowrap}
.figures{display:flex;flex-wrap:wrap;gap:8px 26px;margin:10px 0;padding:0}
.figures div{min-width:90px}
.figures b{display:block;font-size:19px;font-variant-numeric:tabular-nums}
.figures span{color:var(--muted);font-size:13px}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;color:var(--muted);font-size:13px;align-items:center}
.legend svg{display:inline-block;vertical-align:middle;margin-right:6px}
footer{margin-top:40px;color:var(--muted);font-size:13px}
@media (max-width:720px){
main{padding:12px 12px 40px}
summary{grid-template-columns:max-content 1fr}
summary .claim{grid-column:1/-1}
.side{grid-template-columns:1fr}
dl{grid-template-columns:1fr}
dt{margin-top:6px}
}
@media print{
main{max-width:none;padding:0}
details::details-content{content-visibility:visible;display:block;height:auto}
details,figure,tr{break-inside:avoid}
h2,h3{break-after:avoid}
}
"""


def sheet() -> str:
    """The style of a page: both palettes, the page, the drawings."""
    light = f":root{{{_declared(LIGHT)}}}"
    dark = f":root{{{_declared(DARK)}}}"
    schemes = (
        f":root{{color-scheme:light dark}}{light}",
        f"@media (prefers-color-scheme:dark){{{dark}}}",
        f"@media print{{{light}}}",
    )
    return "\n".join(schemes) + PAGE + DRAWING


def _declared(palette: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in palette.items())

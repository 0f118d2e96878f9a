"""How the page looks: on a phone, on a wide screen, in the dark, on paper."""

from __future__ import annotations

from typing import Final

from awfproxy.report.html.palette import fills, variables

_RULES: Final = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
  font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main,header.top,footer{max-width:1120px;margin:0 auto;padding:0 20px}
header.top{padding-top:28px;padding-bottom:4px}
h1{font-size:17px;font-weight:650;margin:0}
h2{font-size:19px;font-weight:650;line-height:1.25;margin:0 0 4px}
h3{font-size:15px;font-weight:650;margin:0 0 4px}
p{margin:0 0 8px}
a{color:var(--link)}
code{font:13px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.soft{color:var(--soft)}
.small{font-size:13px}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px;margin:16px 0;min-width:0}
section>p.lead{color:var(--soft);margin-bottom:14px;max-width:75ch}
.hero{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,6fr);gap:32px}
.bill{font-size:52px;line-height:1.05;font-weight:700;letter-spacing:-.02em;margin:2px 0 6px}
.label{color:var(--soft);font-size:13px;font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px 20px;margin:20px 0 0}
.tiles div{border-top:1px solid var(--line);padding-top:10px}
.tiles dt{color:var(--soft);font-size:13px}
.tiles dd{margin:0;font-size:22px;font-weight:650;line-height:1.2}
.tiles dd.more{font-size:13px;font-weight:400;color:var(--soft);line-height:1.4}
.went{margin:0 0 16px}
.went:last-child{margin:0}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:28px}
.plots{display:grid;gap:22px}
figure{margin:0;min-width:0}
figcaption{font-weight:600;font-size:14px;margin-bottom:2px}
figcaption .soft{font-weight:400}
svg{display:block;overflow:visible}
svg.bar{border-radius:3px;overflow:hidden;background:var(--line)}
svg.bar rect{stroke:var(--card);stroke-width:1px}
svg.plot{padding-left:46px;touch-action:pan-y}
svg.plot rect{stroke:var(--card);stroke-width:.6px}
svg.plot .hit{fill:transparent;stroke:none}
svg.plot .on .hit{fill:var(--ink);fill-opacity:.07}
svg.plot .grid{stroke:var(--line)}
svg.plot .base{stroke:var(--soft)}
svg.plot .mark{stroke:var(--ink);stroke-dasharray:3 3}
svg.plot text{font-size:12px;fill:var(--soft)}
svg.plot text.value,svg.plot text.marked{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
svg.plot text.marked{fill:var(--ink)}
.swatch{display:inline-block;vertical-align:-1px}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:8px 0 0;padding:0;font-size:13px}
.legend li{min-width:0}
table{border-collapse:collapse;width:100%;font-size:14px}
caption{text-align:left;font-weight:600;font-size:14px;padding-bottom:4px}
th{color:var(--soft);font-weight:600;font-size:13px;text-align:left;vertical-align:bottom}
th button{all:unset;cursor:pointer;color:inherit}
th button:hover{text-decoration:underline}
th button:focus-visible,summary:focus-visible,a:focus-visible{
  outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
th[aria-sort=descending] button::after{content:" \\2193"}
th[aria-sort=ascending] button::after{content:" \\2191"}
th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
tbody th{color:var(--ink);font-weight:400;font-size:inherit;vertical-align:middle}
.ranked tbody th{min-width:120px;width:38%}
.todo table{font-size:13px}
.todo td,.todo tbody th{vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap;overflow-wrap:normal}
tfoot td,tfoot th{font-weight:650;color:var(--ink);border-bottom:0}
tr.rest th{color:var(--soft)}
th .bar{margin-top:4px}
.scroll{overflow-x:auto;max-width:100%}
details{margin-top:10px}
summary{cursor:pointer;color:var(--soft);font-size:13px;width:fit-content}
details[open]>summary{margin-bottom:8px}
ol.todo{list-style:none;margin:10px 0 0;padding:0;display:grid;gap:0}
ol.todo>li{display:grid;grid-template-columns:minmax(92px,auto) minmax(0,1fr);gap:4px 18px;padding:14px 0;
  border-top:1px solid var(--line)}
.saved{font-size:20px;font-weight:650;line-height:1.25;color:var(--good);white-space:nowrap}
.saved small{display:block;font-size:12px;font-weight:400;color:var(--soft)}
.saved.none{color:var(--soft)}
.fix{margin:0;max-width:80ch}
.meta{color:var(--soft);font-size:13px;margin:4px 0 0}
.empty{color:var(--soft);margin:0}
.note{border-left:3px solid var(--stopped);padding-left:12px;margin:10px 0}
dl.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:4px 18px;margin:0;font-size:14px}
dl.facts dt{color:var(--soft)}
dl.facts dd{margin:0}
dl.facts ul{margin:0;padding:0;list-style:none}
footer{color:var(--soft);font-size:13px;padding-bottom:40px}
.tip{position:absolute;z-index:2;max-width:300px;background:var(--card);color:var(--ink);border:1px solid var(--soft);
  border-radius:8px;
  padding:8px 10px;font-size:13px;line-height:1.4;pointer-events:none;box-shadow:0 4px 16px rgb(0 0 0/.18)}
.tip b{display:block}
@media (min-width:900px){
  .ranked table{table-layout:fixed}
  .ranked thead th:first-child{width:38%}
}
@media (max-width:760px){
  .hero,.pair{grid-template-columns:minmax(0,1fr);gap:20px}
}
@media (max-width:600px){
  main,header.top,footer{padding-left:10px;padding-right:10px}
  section{padding:16px 14px;border-radius:10px}
  .bill{font-size:42px}
  .wide{display:none}
  svg.plot .minor{display:none}
  .ranked tbody th{min-width:0;width:auto}
  th,td{padding-right:10px}
  ol.todo>li{grid-template-columns:minmax(0,1fr)}
  .saved small{display:inline;margin-left:6px}
  dl.facts{grid-template-columns:minmax(0,1fr);gap:0}
  dl.facts dd{margin-bottom:8px}
}
"""
_PRINT: Final = """
  @page{margin:14mm}
  *{-webkit-print-color-adjust:exact;print-color-adjust:exact}
  body{background:#fff;font-size:10.5pt}
  main,header.top,footer{max-width:none;padding:0}
  section{border:0;border-top:1px solid var(--line);border-radius:0;padding:12px 0;margin:0}
  figure,tr,ol.todo>li,.tiles,.hero{break-inside:avoid}
  h2,h3,figcaption{break-after:avoid}
  details:not([open]):not(.findings){display:none}
  .tip{display:none}
  a{color:inherit;text-decoration:none}
"""


def style() -> str:
    """The whole style sheet."""
    return (
        f":root{{color-scheme:light dark;{variables(dark=False)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(dark=True)}}}}}"
        f"{_RULES}{fills()}\n@media print{{:root{{color-scheme:light}}{_PRINT}}}\n"
    )

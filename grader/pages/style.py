"""The style sheet of all pages. It goes into the page as it stands: the page's policy names its hash.

Colours are checked for contrast (4.5 to 1 for text, 3 to 1 for bars) by axe in both themes.
"""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f5f6f8; --ink: #1b1f24; --soft: #535c68;
  --line: #c3c9d1; --link: #0b57a4; --good: #1a6b2d; --part: #8a5000; --bad: #a8201a; --calm: #47509e;
  --bar: #2f6db3; --rest: #dfe3e9; --mark: #ffe58a; --on-mark: #1b1f24; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1f242a; --ink: #e7eaee; --soft: #aab3be;
  --line: #49525d; --link: #8ec2ff; --good: #7fd492; --part: #f2b95f; --bad: #ff9d94; --calm: #b5bcff;
  --bar: #6ea8e6; --rest: #333b45; --mark: #6b5700; --on-mark: #ffffff; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif;
  overflow-wrap: anywhere; }
main { max-width: 52rem; margin: 0 auto; padding: 1.25rem 1rem 4rem; }
main.wide { max-width: 76rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .4rem; }
p, ul, ol, dl, table, pre, figure, details { margin: .6rem 0; }
ul, ol { padding-left: 1.3rem; }
a { color: var(--link); }
a:focus-visible, pre:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 3px solid var(--link);
  outline-offset: 2px; }
.soft { color: var(--soft); font-weight: 400; }
.total { font-size: 1.35rem; font-weight: 650; margin: .5rem 0; }
.good { color: var(--good); } .part { color: var(--part); } .bad { color: var(--bad); } .calm { color: var(--calm); }
.verdict { font-weight: 650; }
.sign { display: inline-block; width: 1.2em; font-weight: 700; }
.box { border-left: .3rem solid var(--line); background: var(--card); padding: .6rem .9rem; margin: .8rem 0;
  border-radius: 0 .3rem .3rem 0; }
.box > :first-child { margin-top: 0; } .box > :last-child { margin-bottom: 0; }
.box.calm { border-color: var(--calm); color: var(--ink); } .box.part { border-color: var(--part); color: var(--ink); }
.box.bad { border-color: var(--bad); color: var(--ink); }
.label, .diagnosis, .next { font-weight: 650; }
.card { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: .1rem; }
.card h2 { margin-top: 1.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
caption { text-align: left; color: var(--soft); padding: .2rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.n + :not(.n) { padding-left: .8rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .3rem; padding: .7rem .8rem;
  overflow-x: auto; font: .875rem/1.5 ui-monospace, monospace; tab-size: 4; overflow-wrap: normal; }
pre code { font: inherit; }
mark { background: var(--mark); color: var(--on-mark); }
.prose { white-space: pre-line; }
.hint { white-space: pre-wrap; }
.scroll { overflow-x: auto; }
.scroll table { overflow-wrap: normal; }
.scroll th, .scroll td { padding-right: 1rem; }
th[scope=row] { min-width: 7rem; } td:not(.n) { min-width: 5.5rem; } thead .n { white-space: normal; }
summary { cursor: pointer; color: var(--link); padding: .2rem 0; }
figure { margin: 1rem 0 1.4rem; }
figcaption { font-weight: 600; margin-bottom: .4rem; }
svg { display: block; width: 100%; overflow: hidden; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg .axis { fill: var(--soft); font-size: 12px; }
svg .bar { fill: var(--bar); } svg .rest { fill: var(--rest); }
.pair, .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, var(--least)), 1fr)); }
.pair { --least: 28rem; gap: 0 1rem; } .figures { --least: 22rem; gap: 0 2rem; }
.pair > *, .figures > * { min-width: 0; }
.pair pre { max-height: 32rem; overflow: auto; }
@media print { :root { --paper: #ffffff; --card: #ffffff; --ink: #000000; --soft: #333333; --line: #888888;
  --link: #000000; --good: #000000; --part: #000000; --bad: #000000; --calm: #000000; --bar: #444444; --rest: #dddddd; }
  main, main.wide { max-width: none; padding: 0; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .pair pre { max-height: none; } h2, h3, figcaption { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""

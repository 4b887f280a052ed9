/// The looks of every page: light and dark, wide and narrow, with what the browser has at hand.
enum PageStyle {
  static let css = """
    :root {
      color-scheme: light dark;
      --ground: #ffffff; --panel: #f5f6f8; --line: #dcdfe4; --ink: #1b1f24; --faint: #5a636e; --link: #0b5cad;
      --pass: #1a7f4b; --fail: #c0362c; --error: #8a3ffc; --known: #9a6700; --skip: #6b7480; --mark: #fff3c4;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --ground: #14171b; --panel: #1d2127; --line: #343a43; --ink: #e8eaed; --faint: #9aa4b0; --link: #6cb0ff;
        --pass: #3fb97a; --fail: #ff7b72; --error: #c297ff; --known: #e0a82e; --skip: #98a2ae; --mark: #4a3d10;
      }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
    main, header, footer { max-width: 1160px; margin: 0 auto; padding: 0 20px; }
    header { padding-top: 28px; }
    h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 4px; }
    h2 { font-size: 1.2rem; margin: 40px 0 12px; padding-bottom: 6px; border-bottom: 1px solid var(--line); }
    h3 { font-size: 1rem; margin: 0; }
    p { margin: 8px 0; }
    a { color: var(--link); }
    code, pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
    pre { background: var(--ground); border: 1px solid var(--line); border-radius: 6px; padding: 10px; margin: 4px 0 12px; white-space: pre-wrap; }
    .faint { color: var(--faint); }
    .verdict { border-left: 6px solid var(--skip); background: var(--panel); border-radius: 6px; padding: 14px 18px; margin: 18px 0; }
    .verdict strong { font-size: 1.25rem; }
    .verdict.conformant { border-color: var(--pass); } .verdict.conformant strong { color: var(--pass); }
    .verdict.undecided { border-color: var(--known); } .verdict.undecided strong { color: var(--known); }
    .verdict.not { border-color: var(--fail); } .verdict.not strong { color: var(--fail); }
    .verdict ul { margin: 8px 0 0; padding-left: 20px; }
    .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
    .figure { background: var(--panel); border-radius: 6px; padding: 12px 14px; }
    .figure b { display: block; font-size: 1.5rem; line-height: 1.2; }
    nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 16px 0; }
    .bar { display: flex; height: 10px; border-radius: 5px; overflow: hidden; background: var(--line); min-width: 90px; }
    .bar i { display: block; height: 100%; }
    .o-pass { color: var(--pass); } .o-fail, .o-flaky, .o-unexpected-pass { color: var(--fail); }
    .o-error, .o-timeout, .o-crash, .o-blocked { color: var(--error); } .o-expected-failure { color: var(--known); } .o-skip, .o-none { color: var(--skip); }
    .bar .o-pass { background: var(--pass); } .bar .o-fail { background: var(--fail); } .bar .o-error { background: var(--error); }
    .bar .o-expected-failure { background: var(--known); } .bar .o-skip { background: var(--skip); opacity: .45; }
    .tag { display: inline-block; border: 1px solid currentColor; border-radius: 10px; padding: 0 8px; font-size: 12px; white-space: nowrap; }
    article { background: var(--panel); border: 1px solid var(--line); border-left: 5px solid var(--fail); border-radius: 6px; padding: 14px 16px; margin: 0 0 14px; }
    article.b-expected-failure { border-left-color: var(--known); }
    article.b-error, article.b-timeout, article.b-crash, article.b-blocked { border-left-color: var(--error); }
    article h3 code { font-size: 15px; }
    article dl { margin: 10px 0 0; } article dt { font-weight: 600; margin-top: 8px; } article dd { margin: 2px 0 0; }
    .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 14px; }
    table { border-collapse: collapse; width: 100%; }
    th, td { text-align: left; vertical-align: top; padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); }
    th { color: var(--faint); font-weight: 600; font-size: 13px; }
    td.n, th.n { text-align: right; white-space: nowrap; }
    details > summary { cursor: pointer; }
    .filter { position: sticky; top: 0; z-index: 1; background: var(--ground); padding: 10px 0; display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
    input, select { font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 6px 10px; max-width: 100%; }
    input[type=search] { flex: 1 1 220px; min-width: 0; }
    [hidden] { display: none !important; }
    .facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; }
    .facts dt { color: var(--faint); } .facts dd { margin: 0; }
    .scroll { overflow-x: auto; }
    .matrix th.backend { min-width: 84px; } .matrix td.mark { text-align: center; white-space: nowrap; padding: 6px; }
    .matrix tr.chapter td { background: var(--panel); font-weight: 600; padding-left: 8px; }
    .matrix td:first-child { min-width: 220px; }
    footer { padding: 40px 20px; color: var(--faint); font-size: 13px; }
    @media (max-width: 720px) {
      main, header, footer { padding-left: 14px; padding-right: 14px; }
      .pair { grid-template-columns: 1fr; }
      .figures { grid-template-columns: 1fr 1fr; }
      table.stack thead { display: none; }
      table.stack tr { display: block; border-bottom: 1px solid var(--line); padding: 8px 0; }
      table.stack td { display: block; border: 0; padding: 1px 0; text-align: left; }
      table.stack td.i, table.stack td.n { display: inline-block; margin-right: 14px; }
      table.stack td[data-label]::before { content: attr(data-label) " "; color: var(--faint); font-size: 13px; }
      .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: 8px; }
      .matrix td:first-child { min-width: 130px; }
    }
    """
}

// One SVG a broker: how much each side publishes and consumes, the ranked ones by speed, the others behind them.
const WIDTH = 760;
const LABEL = 290;
const VALUE = 110;
const BAR = 18;
const GAP = 6;
const TITLE = 34;
const MOST = WIDTH - LABEL - VALUE;

const STYLE = [
  'text { font: 13px system-ui, sans-serif; fill: #1f2328 }',
  '.title { font-weight: 600 }',
  '.value, .unranked { fill: #59636e }',
  '.waybill { fill: #0f766e }',
  '.raw { fill: #475569 }',
  '.peer { fill: #94a3b8 }',
  '.apart { fill: none; stroke: #94a3b8; stroke-dasharray: 3 2 }',
  '@media (prefers-color-scheme: dark) {',
  '  text { fill: #e6edf3 }',
  '  .value, .unranked { fill: #9198a1 }',
  '  .waybill { fill: #2dd4bf }',
  '  .raw { fill: #cbd5e1 }',
  '  .peer { fill: #64748b }',
  '}',
].join('\n    ');

/** The chart of a run. `ranked` says which results of a measure are compared, and in which order. */
export function chart({ broker, sides, measures }, ids, ranked) {
  const kinds = new Map(sides.map(({ name, kind }) => [name, kind]));
  const panels = [];
  let top = 8;
  for (const measure of measures.filter(({ id }) => ids.includes(id))) {
    const panel = panelOf(measure, { kinds, top, ranked });
    panels.push(panel.svg);
    top = panel.bottom;
  }
  const names = measures.filter(({ id }) => ids.includes(id)).map(({ title }) => title);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" role="img">
  <title>${escaped(`${broker}: ${names.join('; ')}`)}</title>
  <style>
    ${STYLE}
  </style>
${panels.join('\n')}
</svg>
`;
}

function panelOf({ title, unit, better, results }, { kinds, top, ranked }) {
  const most = Math.max(...results.map(({ median }) => median));
  const less = better === 'less' ? ', less is better' : '';
  const lines = [`  <text class="title" x="0" y="${top + 18}">${escaped(`${title} (${unit}${less})`)}</text>`];
  const { equal, apart } = ranked({ better, results });
  const rows = [...equal, ...apart].map((result, index) => {
    const y = top + TITLE + index * (BAR + GAP);
    const width = Math.max(1, Math.round((result.median / most) * MOST));
    const isApart = apart.includes(result);
    const label = isApart ? `${result.side} (not ranked)` : result.side;
    return [
      `  <text${isApart ? ' class="unranked"' : ''} x="${LABEL - 8}" y="${y + 14}" text-anchor="end">${escaped(label)}</text>`,
      `  <rect class="${isApart ? 'apart' : kinds.get(result.side)}" x="${LABEL}" y="${y}" width="${width}" height="${BAR}" rx="2"/>`,
      `  <text class="value" x="${LABEL + width + 8}" y="${y + 14}">${result.median.toLocaleString('en-US')}</text>`,
    ].join('\n');
  });
  return { svg: [...lines, ...rows].join('\n'), bottom: top + TITLE + rows.length * (BAR + GAP) + 14 };
}

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

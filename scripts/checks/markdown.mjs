// What the checks need to know of a Markdown file: code blocks, links and headings, with their lines.

const FENCE = /^(\s*)(`{3,}|~{3,})\s*(\S*)\s*(.*)$/;

/** Fenced blocks: `{ language, info, line, text }`; `line` is that of the first line inside. */
export function blocks(markdown) {
  return scan(markdown).blocks;
}

/** `{ target, line }` of every link and image outside code. Reference definitions too. */
export function links(markdown) {
  const found = [];
  for (const { text, line } of scan(markdown).prose) {
    const plain = text.replaceAll(/`[^`]*`/g, '');
    for (const [, target] of plain.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)) found.push({ target, line });
    const [, defined] = /^\s*\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)/.exec(plain) ?? [];
    if (defined !== undefined) found.push({ target: defined, line });
  }
  return found;
}

/** `{ level, title, line }` of every `#` heading. */
export function headings(markdown) {
  return scan(markdown).prose.flatMap(({ text, line }) => {
    const [, marks, title] = /^(#{1,6})\s+(.+?)\s*#*$/.exec(text) ?? [];
    return marks === undefined ? [] : [{ level: marks.length, title, line }];
  });
}

/** The anchors that GitHub gives the headings. */
export function anchors(markdown) {
  const used = new Map();
  return headings(markdown).map(({ title }) => {
    const words = title.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = words.replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-');
    const count = used.get(slug) ?? 0;
    used.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  });
}

function scan(markdown) {
  const found = { blocks: [], prose: [] };
  let open;
  for (const [index, text] of markdown.split('\n').entries()) {
    const [, indent, fence, language, info] = FENCE.exec(text) ?? [];
    if (open === undefined && fence !== undefined) {
      open = { fence, indent: indent.length, block: { language, info, line: index + 2, lines: [] } };
    } else if (open === undefined) {
      found.prose.push({ text, line: index + 1 });
    } else if (fence?.startsWith(open.fence) && language === '') {
      const { lines, ...block } = open.block;
      found.blocks.push({ ...block, text: lines.join('\n') });
      open = undefined;
    } else {
      open.block.lines.push(text.slice(Math.min(open.indent, text.length - text.trimStart().length)));
    }
  }
  return found;
}

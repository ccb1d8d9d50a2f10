// Draws flowcharts with Mermaid itself, in a page without a screen: takes a JSON array of texts, and answers for each what a
// reader would see: {"title": ..., "nodes": {id: label}, "edges": [[from, to, label]]}, or {"error": ...}.
//
//     node mermaid_reads.mjs FOLDER <texts.json      FOLDER has node_modules with mermaid and jsdom
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import path from "node:path";

const folder = path.resolve(process.argv[2]);
const { JSDOM } = createRequire(path.join(folder, "here.js"))("jsdom");
const page = new JSDOM("<!doctype html><body></body>", { pretendToBeVisual: true });
for (const name of ["window", "document", "SVGElement", "HTMLElement", "Element", "Node", "DOMParser", "XMLSerializer"])
  globalThis[name] = name === "window" ? page.window : page.window[name];
globalThis.CSSStyleSheet = page.window.CSSStyleSheet;
// Nothing is laid out here: every text is as large as any other.
const box = () => ({ x: 0, y: 0, width: 100, height: 20, top: 0, left: 0, right: 100, bottom: 20 });
page.window.SVGElement.prototype.getBBox = box;
page.window.SVGElement.prototype.getComputedTextLength = () => 100;
page.window.Element.prototype.getBoundingClientRect = box;

const mermaid = (
  await import(pathToFileURL(path.join(folder, "node_modules/mermaid/dist/mermaid.esm.min.mjs")))
).default;
mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });

const shown = (element) => element.textContent.replaceAll("\u00a0", " ");

async function look(text, number) {
  const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
  const { svg } = await mermaid.render(`drawing${number}`, text);
  const picture = new page.window.DOMParser().parseFromString(svg, "text/html");
  const ids = [...db.getVertices().keys()];
  const labels = [...picture.querySelectorAll(".node")].map((node) => [
    ids.find((id) => new RegExp(`flowchart-${id}-\\d+$`).test(node.id)), shown(node.querySelector(".nodeLabel")),
  ]);
  // They are drawn in the order of the text.
  const edgeLabels = [...picture.querySelectorAll(".edgeLabels .edgeLabel")].filter((label) => label.tagName === "g");
  return {
    title: shown(picture.querySelector(".flowchartTitleText")),
    nodes: Object.fromEntries(labels),
    edges: db.getEdges().map((edge, i) => [edge.start, edge.end, shown(edgeLabels[i])]),
    raw: edgeLabels.length,
  };
}

const answers = [];
for (const [number, text] of JSON.parse(readFileSync(0, "utf-8")).entries())
  answers.push(await look(text, number).catch((error) => ({ error: String(error.message ?? error) })));
console.log(JSON.stringify(answers));
process.exit(0);

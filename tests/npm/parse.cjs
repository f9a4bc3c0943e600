// Prints what AsyncAPI's own parser says of the documents on standard input, a list: for each a list of diagnostics.
const { Parser } = require("@asyncapi/parser");

async function main() {
  const documents = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const found = [];
  for (const document of documents) {
    const { diagnostics } = await new Parser().parse(JSON.stringify(document));
    found.push(diagnostics.map(({ severity, code, path, message }) => ({ severity, code, at: path.join("/"), message })));
  }
  console.log(JSON.stringify(found));
}

main();

// node-redis over RESP3: a catalogue - hashes, sorted sets, geo, bulk loads,
// typed replies.
import { createClient } from "redis";

const r = createClient({
  url: `redis://127.0.0.1:${process.env.PORT}`, RESP: 3, unstableResp3: true,
});
r.on("error", (e) => { console.log("FAIL " + e); process.exit(1); });
await r.connect();

function claim(name, ok) {
  console.log((ok ? "ok   " : "FAIL ") + name);
  if (!ok) process.exit(1);
}
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

await Promise.all(Array.from({ length: 2000 }, (_, i) =>
  r.hSet(`item:${i}`, { name: `item ${i}`, price: i })));
claim("2000 hashes in one pipeline",
  (await r.hGet("item:1999", "name")) === "item 1999");
await r.zAdd("prices", Array.from({ length: 2000 }, (_, i) =>
  ({ score: i / 2, value: `item:${i}` })));
claim("scores are numbers",
  same(await r.zRangeWithScores("prices", 0, 1),
    [{ value: "item:0", score: 0 }, { value: "item:1", score: 0.5 }]));
claim("by score, backwards, limited",
  same(await r.zRange("prices", 500, 0, {
    BY: "SCORE", REV: true, LIMIT: { offset: 1, count: 2 } }),
  ["item:999", "item:998"]));
claim("a double is a number", (await r.zScore("prices", "item:3")) === 1.5);
await r.sAdd("tags", ["a", "b"]);
claim("set members", same([...await r.sMembers("tags")].sort(), ["a", "b"]));
await r.geoAdd("places", [
  { longitude: 13.361389, latitude: 38.115556, member: "Palermo" },
  { longitude: 15.087269, latitude: 37.502669, member: "Catania" }]);
claim("what is near",
  same((await r.geoSearch("places", { longitude: 15, latitude: 37 },
    { radius: 200, unit: "km" }, { SORT: "ASC" })), ["Catania", "Palermo"]));
await r.rPush("list", ["a", "b", "c", "d"]);
claim("lists are cut and moved",
  (await r.lMove("list", "done", "LEFT", "RIGHT")) === "a" &&
  (await r.lTrim("list", 0, 1)) === "OK" &&
  same(await r.lRange("list", 0, -1), ["b", "c"]));
const [ok, n] = await r.multi().set("k", "v").incr("n").exec();
claim("a transaction", ok === "OK" && n === 1);
const id = await r.xAdd("s", "*", { field: "value" });
await r.xGroupCreate("s", "g", "0");
const read = await r.xReadGroup("g", "me", { key: "s", id: ">" });
claim("a group reads", JSON.stringify(read).includes(id));
claim("and acknowledges", (await r.xAck("s", "g", id)) === 1);
const names = new Set();
for await (const keys of r.scanIterator({ MATCH: "item:*", COUNT: 500 }))
  (Array.isArray(keys) ? keys : [keys]).forEach((k) => names.add(k));
claim("a scan finds every key", names.size === 2000);
r.destroy();

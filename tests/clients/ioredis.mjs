// ioredis: a chat - rooms as streams, presence as sorted sets, blocking
// consumers, keyspace events, transactions in a pipeline.
import Redis from "ioredis";

const port = Number(process.env.PORT);
const r = new Redis(port, "127.0.0.1");
const other = new Redis(port, "127.0.0.1");

function claim(name, ok) {
  console.log((ok ? "ok   " : "FAIL ") + name);
  if (!ok) process.exit(1);
}
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Rooms.
const waiting = other.xread("BLOCK", 10000, "STREAMS", "room", "$");
while (!(await r.client("LIST")).includes("cmd=xread")) ;
await r.xadd("room", "*", "from", "ada", "text", "hello");
const [[room, [[, fields]]]] = await waiting;
claim("a reader that waits gets the message",
  room === "room" && same(fields, ["from", "ada", "text", "hello"]));

// Presence.
const now = Date.now();
await r.zadd("online", now - 90000, "bob", now, "ada", now - 10, "eve");
await r.zremrangebyscore("online", "-inf", now - 60000);
claim("who was not seen is forgotten",
  same(await r.zrange("online", 0, -1), ["eve", "ada"]));

// Blocking queues: the one who waited first is served first.
const third = new Redis(port, "127.0.0.1");
const first = other.blpop("mail", 10);
while (!(await r.client("LIST")).includes("cmd=blpop")) ;
const second = third.blpop("mail", 10);
while ((await r.client("LIST")).split("cmd=blpop").length < 3) ;
await r.rpush("mail", "one", "two");
claim("those who wait are served in turn",
  same(await first, ["mail", "one"]) && same(await second, ["mail", "two"]));

// A transaction in a pipeline.
const results = await r.multi().hset("user:1", "name", "ada").hincrby("user:1",
  "logins", 1).sadd("users", 1).lpush("log", "in").exec();
claim("a transaction answers all its commands",
  same(results, [[null, 1], [null, 1], [null, 1], [null, 1]]));
claim("a hash comes as an object",
  same(await r.hgetall("user:1"), { logins: "1", name: "ada" }) ||
  same(await r.hgetall("user:1"), { name: "ada", logins: "1" }));
const broken = await r.multi().set("x", "text").lpush("x", 1).exec();
claim("an error inside a transaction does not undo the rest",
  broken[0][1] === "OK" && broken[1][0].message.startsWith("WRONGTYPE"));

// Events of keys.
await r.config("SET", "notify-keyspace-events", "KEA");
const heard = [];
const news = new Redis(port, "127.0.0.1");
await news.psubscribe("__keyevent@0__:*");
const done = new Promise((resolve) => news.on("pmessage", (_p, channel, key) => {
  heard.push(channel.split(":")[1] + " " + key);
  if (key === "end") resolve();
}));
await r.rpush("l", 1);
await r.lpop("l");
await r.set("end", 1);
await done;
claim("keyspace events tell what happened", same(heard.slice(0, 3),
  ["rpush l", "lpop l", "del l"]));

// Streams of scans.
await r.sadd("many", ...Array.from({ length: 3000 }, (_, i) => "m" + i));
const found = new Set();
for await (const keys of r.sscanStream("many", { count: 100 }))
  keys.forEach((k) => found.add(k));
claim("a set is scanned whole", found.size === 3000);
for (const c of [r, other, third, news]) c.disconnect();

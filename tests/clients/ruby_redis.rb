# ruby-redis: background jobs as Ruby's job libraries keep them - queues,
# schedules, retries, locks, counters.
require "redis"

port = Integer(ENV["PORT"])
r = Redis.new(host: "127.0.0.1", port: port)

def claim(name, ok)
  puts((ok ? "ok   " : "FAIL ") + name)
  exit 1 unless ok
end

r.sadd("queues", ["default", "mail"])
100.times { |i| r.lpush("queue:default", i) }
worker = Thread.new do
  mine = Redis.new(host: "127.0.0.1", port: port)
  done = []
  while (job = mine.brpop("queue:mail", "queue:default", timeout: 5))
    break if job[1] == "stop"
    done << job[1].to_i
  end
  done
end
Thread.pass while r.llen("queue:default") > 0
r.lpush("queue:mail", "stop")
claim("jobs are done in order", worker.value == (0...100).to_a)

now = Time.now.to_f
r.zadd("schedule", [[now - 5, "late"], [now + 500, "later"]])
due = r.zrangebyscore("schedule", "-inf", now, limit: [0, 10])
claim("what is due is found", due == ["late"] && r.zrem("schedule", due[0]))
claim("scores keep their digits", r.zscore("schedule", "later") == now + 500)
r.zadd("retry", 1.0, "a")
claim("a retry comes back", r.zpopmin("retry") == ["a", 1.0])
results = r.multi do |t|
  t.incr("stat:processed")
  t.hset("worker", "busy", 3, "pid", 77)
  t.expire("worker", 60)
end
claim("a transaction answers in Ruby", results == [1, 2, true])
claim("a hash answers in Ruby",
      r.hgetall("worker") == { "busy" => "3", "pid" => "77" })
claim("a lock by SET NX", r.set("lock", "me", nx: true, ex: 5) == true &&
      r.set("lock", "you", nx: true, ex: 5) == false)
r.watch("lock") { r.set("lock", "thief") }
claim("a watched key stops a transaction", r.multi { |t| t.del("lock") }.nil?)
r.sadd("s", (1..500).to_a)
claim("a set is scanned whole", r.sscan_each("s").to_a.uniq.size == 500)
claim("random members are members", (r.srandmember("s", 5) -
      r.smembers("s")).empty?)
id = r.xadd("x", { "k" => "v" })
claim("a stream", r.xrange("x").first == [id, { "k" => "v" }])
claim("moved between lists", r.rpush("from", [1, 2]) == 2 &&
      r.lmove("from", "to", "LEFT", "RIGHT") == "1" && r.llen("to") == 1)
claim("bits", r.setbit("b", 7, 1).zero? && r.bitcount("b") == 1)

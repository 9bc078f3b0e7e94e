/* hiredis: a feed over RESP2 - pipelines, replies of every kind, a waiting
 * consumer beside a producer, pub/sub. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
claim(const char *name, int ok)
{
    printf("%s%s\n", ok ? "ok   " : "FAIL ", name);
    fflush(stdout);
    if (!ok)
        exit(1);
}

static redisReply *
ask(redisContext *c, const char *command)
{
    redisReply *r = redisCommand(c, command);

    if (r == NULL) {
        printf("FAIL %s: %s\n", command, c->errstr);
        exit(1);
    }
    return r;
}

static int
answers_int(redisContext *c, const char *command, long long want)
{
    redisReply *r = ask(c, command);
    int ok = r->type == REDIS_REPLY_INTEGER && r->integer == want;

    freeReplyObject(r);
    return ok;
}

static void
pipelines(redisContext *c)
{
    redisReply *r;
    int ok = 1;

    for (int i = 0; i < 10000; i++)
        redisAppendCommand(c, "RPUSH feed post:%d", i);
    for (int i = 0; i < 10000; i++) {
        if (redisGetReply(c, (void **)&r) != REDIS_OK)
            exit(1);
        ok = ok && r->integer == i + 1;
        freeReplyObject(r);
    }
    claim("10000 pushes in one pipeline", ok);
    r = ask(c, "LRANGE feed 0 -1");
    claim("come back in order",
          r->elements == 10000 &&
              strcmp(r->element[9999]->str, "post:9999") == 0);
    freeReplyObject(r);
    r = ask(c, "LINDEX feed 5000");
    claim("by index", strcmp(r->str, "post:5000") == 0);
    freeReplyObject(r);
}

static void
kinds_of_replies(redisContext *c)
{
    redisReply *r;

    claim("hset", answers_int(c, "HSET h a 1 b 2", 2));
    r = ask(c, "HGETALL h");
    claim("nested arrays", r->type == REDIS_REPLY_ARRAY && r->elements == 4);
    freeReplyObject(r);
    r = ask(c, "HGET h none");
    claim("nil", r->type == REDIS_REPLY_NIL);
    freeReplyObject(r);
    r = ask(c, "LPUSH h 1");
    claim("errors",
          r->type == REDIS_REPLY_ERROR && strncmp(r->str, "WRONGTYPE", 9) == 0);
    freeReplyObject(r);
    claim("zadd", answers_int(c, "ZADD z 1 a 2 b 3 c", 3));
    claim("zcount", answers_int(c, "ZCOUNT z (1 +inf", 2));
    r = redisCommand(c, "SADD bin %b", "\0\r\n", (size_t)3);
    claim("binary members", r->integer == 1);
    freeReplyObject(r);
    r = ask(c, "SPOP bin");
    claim("binary replies", r->len == 3 && memcmp(r->str, "\0\r\n", 3) == 0);
    freeReplyObject(r);
}

static void
waiting(redisContext *c, int port)
{
    redisContext *w = redisConnect("127.0.0.1", port);
    redisReply *r;
    int done = 0;

    redisAppendCommand(w, "BLPOP inbox 10");
    while (!done)
        redisBufferWrite(w, &done);
    claim("a push for one who waits", answers_int(c, "RPUSH inbox x", 1));
    if (redisGetReply(w, (void **)&r) != REDIS_OK)
        exit(1);
    claim("reaches it", r->elements == 2 && r->element[1]->str[0] == 'x');
    freeReplyObject(r);
    r = ask(w, "SUBSCRIBE news");
    freeReplyObject(r);
    claim("published to one", answers_int(c, "PUBLISH news hello", 1));
    if (redisGetReply(w, (void **)&r) != REDIS_OK)
        exit(1);
    claim("and heard", strcmp(r->element[2]->str, "hello") == 0);
    freeReplyObject(r);
    redisFree(w);
}

int
main(void)
{
    int port = (int)strtol(getenv("PORT"), NULL, 10);
    redisContext *c = redisConnect("127.0.0.1", port);

    claim("connects", c != NULL && c->err == 0);
    pipelines(c);
    kinds_of_replies(c);
    waiting(c, port);
    redisFree(c);
    return 0;
}

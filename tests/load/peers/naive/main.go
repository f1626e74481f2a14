// Command naive is a gateway as it is written in an afternoon, from the same
// libraries: each request has its token verified, asks Redis for its three limits one
// after the other, is forwarded and logged. What it costs is what everything that is
// remembered, batched and drawn ahead saves.
//
//	naive LISTEN UPSTREAM REDIS SECRET
package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/gofiber/fiber/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: naive LISTEN UPSTREAM REDIS SECRET")
		os.Exit(2)
	}
	g := &gateway{
		secret: []byte(os.Args[4]),
		limits: redis_rate.NewLimiter(redis.NewClient(&redis.Options{Addr: os.Args[3]})),
		client: &fasthttp.HostClient{Addr: os.Args[2], MaxConns: math.MaxInt32, MaxIdleConnDuration: time.Minute},
		logger: zerolog.New(os.Stdout).With().Timestamp().Logger(),
	}
	app := fiber.New()
	app.Use(g.log, g.serve)
	if err := app.Listen(os.Args[1], fiber.ListenConfig{DisableStartupMessage: true}); err != nil {
		fmt.Fprintln(os.Stderr, "naive:", err)
		os.Exit(1)
	}
}

type gateway struct {
	secret []byte
	limits *redis_rate.Limiter
	client *fasthttp.HostClient
	logger zerolog.Logger
}

func (g *gateway) log(c fiber.Ctx) error {
	start := time.Now()
	err := c.Next()
	g.logger.Info().Str("method", c.Method()).Str("path", c.Path()).Int("status", c.Response().StatusCode()).
		Str("client_ip", c.IP()).Dur("duration_ms", time.Since(start)).Err(err).Send()
	return err
}

func (g *gateway) serve(c fiber.Ctx) error {
	user, err := g.authenticate(c.Get(fiber.HeaderAuthorization))
	if err != nil {
		return fiber.ErrUnauthorized
	}
	for _, key := range []string{"global", "user:" + user, "ip:" + c.IP()} {
		allowed, err := g.limits.Allow(c, key, redis_rate.PerSecond(100_000))
		if err != nil {
			return fiber.ErrServiceUnavailable
		}
		if allowed.Allowed == 0 {
			return fiber.ErrTooManyRequests
		}
	}
	return g.client.Do(&c.RequestCtx().Request, &c.RequestCtx().Response)
}

func (g *gateway) authenticate(header string) (user string, err error) {
	text, found := strings.CutPrefix(header, "Bearer ")
	if !found {
		return "", errors.New("no token")
	}
	token, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return g.secret, nil }, jwt.WithValidMethods([]string{"HS256"}))
	if err != nil {
		return "", err
	}
	return token.Claims.GetSubject()
}

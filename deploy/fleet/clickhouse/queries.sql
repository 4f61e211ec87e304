-- Questions that metrics cannot answer, because they are about single calls. Input includes what was cached, output what
-- was thought; so the total is their sum.

-- Tokens by machine and model.
SELECT machine, model, count() AS calls, sum(input_tokens) AS input, sum(output_tokens) AS output, input + output AS total
FROM gravimeter_calls
GROUP BY machine, model
ORDER BY total DESC;

-- The ten most expensive conversations, and what share of their input came from a cache.
SELECT machine, conversation, count() AS calls, sum(input_tokens) + sum(output_tokens) AS total,
       round(sum(cache_read_tokens) / sum(input_tokens), 3) AS cached
FROM gravimeter_calls
WHERE conversation != ''
GROUP BY machine, conversation
ORDER BY total DESC
LIMIT 10;

-- Exact quantiles, which a histogram's buckets can only bound.
SELECT model, quantilesExact(0.5, 0.95, 0.99)(time_to_first_chunk) AS first_chunk, quantilesExact(0.5, 0.95, 0.99)(duration) AS duration
FROM gravimeter_calls
WHERE outcome = 'ok'
GROUP BY model
ORDER BY model;

-- Calls that failed, by hour.
SELECT toStartOfHour(time) AS hour, machine, model, outcome, count() AS calls
FROM gravimeter_calls
WHERE outcome != 'ok'
GROUP BY hour, machine, model, outcome
ORDER BY hour, calls DESC;

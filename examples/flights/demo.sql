-- What one can ask of views.sql, while the flights arrive or when all are there.

-- How far has the replay come?
SELECT * FROM progress;

-- Which airlines leave late? A query may join what is kept up to date.
SELECT name, flights, cancelled, round(avg_delay, 1) AS avg_delay, max_delay
FROM delays JOIN airline_names USING (carrier)
ORDER BY delays.avg_delay DESC NULLS LAST
LIMIT 5;

-- The day begins on time and ends late.
SELECT hour, flights, round(avg_delay, 1) AS avg_delay, over_an_hour
FROM delays_by_hour
ORDER BY hour;

-- The worst routes, from a view on a view.
SELECT origin, name AS destination, flights, round(avg_delay, 1) AS avg_delay
FROM worst_routes JOIN airport_names ON faa = dest
ORDER BY worst_routes.avg_delay DESC
LIMIT 5;

-- Both views have seen the same flights, at every moment: this is always 0.
SELECT (SELECT sum(flights) FROM airport_delays) - (SELECT sum(flights) FROM routes) AS difference;

-- Every flight has two ends.
SELECT (SELECT sum(flights) FROM movements) - 2 * (SELECT flights FROM progress) AS difference;

-- The busiest airports.
SELECT airport, flights FROM movements ORDER BY flights DESC, airport LIMIT 5;

-- Days to have stayed at home.
SELECT month, day, flights, over_an_hour FROM bad_days ORDER BY over_an_hour DESC, month, day LIMIT 5;

-- One row by its key.
SELECT flights, cancelled, max_delay FROM delays WHERE carrier = 'HA';

-- Windy months.
SELECT origin, month, round(max_wind::numeric, 1) AS max_wind
FROM weather_by_month
ORDER BY weather_by_month.max_wind DESC NULLS LAST, origin, month
LIMIT 3;

-- Who built the planes?
SELECT * FROM planes_by_maker ORDER BY planes DESC, manufacturer LIMIT 3;

-- How is a view kept up to date?
EXPLAIN MATERIALIZED VIEW routes;

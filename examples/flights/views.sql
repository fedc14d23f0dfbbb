-- The flights of 2013 as a live stream in event-time order, and what is kept up to date about them.
-- Paths are seen from the folder in which the server was started: the root of the repository.

CREATE SOURCE flights (
    year integer, month integer, day integer,
    dep_time integer, sched_dep_time integer, dep_delay integer,
    arr_time integer, sched_arr_time integer, arr_delay integer,
    carrier text, flight integer, tailnum text, origin text, dest text,
    air_time integer, distance integer, hour integer, minute integer,
    time_hour timestamptz
) WITH (connector = 'file', path = 'examples/flights/flights.parquet', rate = '2000')
FORMAT PLAIN ENCODE PARQUET;

CREATE SOURCE weather (
    origin text, year integer, month integer, day integer, hour integer,
    temp double precision, dewp double precision, humid double precision,
    wind_dir integer, wind_speed double precision, wind_gust double precision,
    precip double precision, pressure double precision, visib double precision,
    time_hour timestamptz
) WITH (connector = 'file', path = 'examples/flights/weather.parquet')
FORMAT PLAIN ENCODE PARQUET;

-- Parquet files know their columns.
CREATE SOURCE airlines WITH (connector = 'file', path = 'examples/flights/airlines.parquet')
FORMAT PLAIN ENCODE PARQUET;

CREATE SOURCE airports WITH (connector = 'file', path = 'examples/flights/airports.parquet')
FORMAT PLAIN ENCODE PARQUET;

CREATE SOURCE planes WITH (connector = 'file', path = 'examples/flights/planes.parquet')
FORMAT PLAIN ENCODE PARQUET;

-- How late each airline leaves.
CREATE MATERIALIZED VIEW delays AS
SELECT carrier,
       count(*) AS flights,
       count(*) FILTER (WHERE dep_time IS NULL) AS cancelled,
       avg(dep_delay) AS avg_delay,
       stddev(dep_delay) AS stddev_delay,
       max(dep_delay) AS max_delay
FROM flights
GROUP BY carrier;

-- Delays pile up over the day.
CREATE MATERIALIZED VIEW delays_by_hour AS
SELECT hour,
       count(dep_delay) AS flights,
       avg(dep_delay) AS avg_delay,
       count(*) FILTER (WHERE dep_delay > 60) AS over_an_hour
FROM flights
GROUP BY hour;

-- Every route, with what the views on top of it need.
CREATE MATERIALIZED VIEW routes AS
SELECT origin, dest,
       count(*) AS flights,
       count(arr_delay) AS arrived,
       sum(arr_delay) AS total_delay,
       avg(arr_delay) AS avg_delay,
       min(air_time) AS best_air_time
FROM flights
GROUP BY origin, dest;

-- Routes that are flown often and arrive late: a view on a view.
CREATE MATERIALIZED VIEW worst_routes AS
SELECT origin, dest, flights, avg_delay
FROM routes
WHERE flights >= 100 AND avg_delay > 20;

-- The routes of each airport, added up: groups of groups.
CREATE MATERIALIZED VIEW airport_delays AS
SELECT origin,
       count(*) AS routes,
       sum(flights) AS flights,
       sum(total_delay) / nullif(sum(arrived), 0) AS avg_delay
FROM routes
GROUP BY origin;

-- Every airport as the beginning or the end of a flight.
CREATE MATERIALIZED VIEW movements AS
SELECT airport, count(*) AS flights
FROM (SELECT origin AS airport FROM flights UNION ALL SELECT dest FROM flights) AS ends
GROUP BY airport;

-- Days on which much went wrong.
CREATE MATERIALIZED VIEW bad_days AS
SELECT month, day,
       count(*) AS flights,
       count(*) FILTER (WHERE dep_delay > 60) AS over_an_hour
FROM flights
GROUP BY month, day
HAVING count(*) FILTER (WHERE dep_delay > 60) > 200;

-- How far the replay has come.
CREATE MATERIALIZED VIEW progress AS
SELECT count(*) AS flights, max(time_hour) AS reached FROM flights;

CREATE MATERIALIZED VIEW weather_by_month AS
SELECT origin, month, avg(temp) AS avg_temp, max(wind_speed) AS max_wind, sum(precip) AS rain
FROM weather
GROUP BY origin, month;

CREATE MATERIALIZED VIEW airline_names AS SELECT carrier, name FROM airlines;

CREATE MATERIALIZED VIEW airport_names AS SELECT faa, name, lat, lon FROM airports;

CREATE MATERIALIZED VIEW planes_by_maker AS
SELECT manufacturer, count(*) AS planes, min(year) AS oldest, avg(seats) AS avg_seats
FROM planes
GROUP BY manufacturer;

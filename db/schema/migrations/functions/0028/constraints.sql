-- The type constraints of Terraform variables, read from their text, and values that cannot be of
-- a type. A type is {"name", "items" of collections, "members" of objects, "optional"}.

CREATE FUNCTION type_tokens(source text) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(
        array_agg(coalesce(hit[2], hit[3], hit[4]) ORDER BY position)
            FILTER (WHERE hit[1] IS NULL),
        '{}')
    FROM regexp_matches(
        source,
        '\s*(?:(#|//)[^\n]*|([A-Za-z_][[:alnum:]_-]*)|("(?:[^"\\]|\\.)*")|([^\s#]))', 'g'
    ) WITH ORDINALITY AS every (hit, position)
$$;

CREATE FUNCTION token_at(tokens text[], place integer, wanted text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF tokens[place] IS NULL OR tokens[place] <> coalesce(wanted, tokens[place]) THEN
        PERFORM refuse('PVX01', 'not a type constraint');
    END IF;
    RETURN tokens[place];
END $$;

-- The place behind the default of an optional attribute and its closing bracket.
CREATE FUNCTION after_default(tokens text[], place integer) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    depth integer := 1;
    sign text;
BEGIN
    WHILE depth > 0 LOOP
        sign := token_at(tokens, place);
        place := place + 1;
        depth := depth + CASE
            WHEN sign IN ('(', '[', '{') THEN 1 WHEN sign IN (')', ']', '}') THEN -1 ELSE 0 END;
    END LOOP;
    RETURN place;
END $$;

CREATE FUNCTION type_members(tokens text[], INOUT place integer, depth integer, OUT members jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name text;
    is_optional boolean;
    member jsonb;
BEGIN
    members := '{}';
    place := place + length(token_at(tokens, place, '{'));
    WHILE token_at(tokens, place) <> '}' LOOP
        name := trim(BOTH '"' FROM tokens[place]);
        IF token_at(tokens, place + 1) <> '=' THEN PERFORM token_at(tokens, place + 1, ':'); END IF;
        place := place + 2;
        is_optional := token_at(tokens, place) = 'optional';
        IF is_optional THEN
            PERFORM token_at(tokens, place + 1, '(');
            place := place + 2;
        END IF;
        SELECT read.kind, read.place INTO member, place FROM type_at(tokens, place, depth) AS read;
        IF is_optional THEN
            place := after_default(tokens, place);
            member := member || '{"optional": true}';
        END IF;
        members := members || jsonb_build_object(name, member);
        IF tokens[place] = ',' THEN place := place + 1; END IF;
    END LOOP;
    place := place + 1;
END $$;

CREATE FUNCTION type_at(tokens text[], INOUT place integer, depth integer, OUT kind jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name text := token_at(tokens, place);
    item jsonb;
    items jsonb := '[]';
BEGIN
    place := place + 1;
    kind := jsonb_build_object('name', name);
    IF name IN ('string', 'number', 'bool', 'any') AND depth <= 50 THEN RETURN; END IF;
    IF depth > 50 OR name NOT IN ('list', 'set', 'tuple', 'map', 'object') THEN
        PERFORM refuse('PVX01', 'not a type constraint');
    END IF;
    IF tokens[place] IS DISTINCT FROM '(' THEN
        -- Without arguments, as old templates write collections.
        IF name NOT IN ('list', 'set', 'map') THEN PERFORM token_at(tokens, place, '('); END IF;
        kind := kind || '{"items": [{"name": "any"}]}';
        RETURN;
    END IF;
    place := place + 1;
    IF name = 'object' THEN
        SELECT read.members, read.place INTO item, place
        FROM type_members(tokens, place, depth + 1) AS read;
        kind := kind || jsonb_build_object('members', item);
    ELSIF name = 'tuple' THEN
        PERFORM token_at(tokens, place, '[');
        place := place + 1;
        WHILE token_at(tokens, place) <> ']' LOOP
            SELECT read.kind, read.place INTO item, place
            FROM type_at(tokens, place, depth + 1) AS read;
            items := items || jsonb_build_array(item);
            IF tokens[place] = ',' THEN place := place + 1; END IF;
        END LOOP;
        place := place + 1;
        kind := kind || jsonb_build_object('items', items);
    ELSE
        SELECT read.kind, read.place INTO item, place
        FROM type_at(tokens, place, depth + 1) AS read;
        kind := kind || jsonb_build_object('items', jsonb_build_array(item));
    END IF;
    PERFORM token_at(tokens, place, ')');
    place := place + 1;
END $$;

-- The type constraint in a text; any, which allows everything, if it is none.
CREATE FUNCTION read_type(source text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    tokens text[] := type_tokens(source);
    wanted jsonb;
    place integer;
BEGIN
    SELECT read.kind, read.place INTO wanted, place FROM type_at(tokens, 1, 0) AS read;
    RETURN CASE WHEN place > cardinality(tokens) THEN wanted ELSE '{"name": "any"}' END;
EXCEPTION WHEN SQLSTATE 'PVX01' THEN
    RETURN '{"name": "any"}';
END $$;

-- Why a value cannot be of a type, such as "must be a number, not a list"; NULL if it can.
CREATE FUNCTION misfit(wanted jsonb, value jsonb, place text DEFAULT '') RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name CONSTANT text := wanted ->> 'name';
    kind CONSTANT text := jsonb_typeof(value);
    content CONSTANT text := value #>> '{}';
    fits boolean;
    reason text;
BEGIN
    IF value IS NULL OR kind = 'null' OR name = 'any' THEN RETURN NULL; END IF;
    fits := CASE
        WHEN name IN ('list', 'set', 'tuple') THEN kind = 'array'
        WHEN name IN ('map', 'object') THEN kind = 'object'
        WHEN kind IN ('array', 'object') THEN false
        WHEN name = 'number'
            THEN content ~ '^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$'
        WHEN name = 'bool' THEN content IN ('true', 'false', '1', '0')
        ELSE true
    END;
    IF NOT fits THEN
        RETURN format('%smust be %s, not %s', place,
            CASE WHEN name = 'object' THEN 'an object' ELSE 'a ' || name END,
            CASE kind WHEN 'array' THEN 'a list' WHEN 'object' THEN 'a map'
                 ELSE '"' || left(content, 100) || '"' END);
    END IF;
    IF kind = 'array' THEN
        IF name = 'tuple' AND jsonb_array_length(value) <> jsonb_array_length(wanted -> 'items') THEN
            RETURN format('%smust have %s elements, not %s', place,
                jsonb_array_length(wanted -> 'items'), jsonb_array_length(value));
        END IF;
        SELECT misfit(
                wanted -> 'items' -> CASE WHEN name = 'tuple' THEN position::integer - 1 ELSE 0 END,
                item, format('%selement %s ', place, position - 1)
            ) INTO reason
        FROM jsonb_array_elements(value) WITH ORDINALITY AS every (item, position)
        WHERE misfit(
                wanted -> 'items' -> CASE WHEN name = 'tuple' THEN position::integer - 1 ELSE 0 END,
                item, '') IS NOT NULL
        ORDER BY position LIMIT 1;
    ELSIF name = 'map' THEN
        SELECT misfit(wanted -> 'items' -> 0, item, format('%selement "%s" ', place, key))
        INTO reason
        FROM jsonb_each(value) AS every (key, item)
        WHERE misfit(wanted -> 'items' -> 0, item, '') IS NOT NULL
        LIMIT 1;
    ELSIF name = 'object' THEN
        SELECT CASE WHEN value ? key
            THEN misfit(member, value -> key, format('%sattribute "%s" ', place, key))
            ELSE format('%smust have the attribute "%s"', place, key) END
        INTO reason
        FROM jsonb_each(wanted -> 'members') AS every (key, member)
        WHERE CASE WHEN value ? key THEN misfit(member, value -> key, '') IS NOT NULL
              ELSE NOT member ? 'optional' END
        LIMIT 1;
    END IF;
    RETURN reason;
END $$;

-- Regular expressions in Go's syntax, rewritten for PostgreSQL.
-- NULL means that an expression cannot be rewritten exactly: then the provider judges the value
-- in the plan.

-- The characters of an ASCII class, for use inside brackets.
CREATE FUNCTION ascii_class(name text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE name
        WHEN 'd' THEN '0-9'
        WHEN 'w' THEN '0-9A-Za-z_'
        WHEN 's' THEN '\t\n\f\r '
        WHEN 'alnum' THEN '0-9A-Za-z'
        WHEN 'alpha' THEN 'A-Za-z'
        WHEN 'ascii' THEN '\u0001-\u007F'
        WHEN 'blank' THEN '\t '
        WHEN 'cntrl' THEN '\u0001-\u001F\u007F'
        WHEN 'digit' THEN '0-9'
        WHEN 'graph' THEN '\u0021-\u007E'
        WHEN 'lower' THEN 'a-z'
        WHEN 'print' THEN '\u0020-\u007E'
        WHEN 'punct' THEN '\u0021-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u007E'
        WHEN 'space' THEN '\t\n\v\f\r '
        WHEN 'upper' THEN 'A-Z'
        WHEN 'word' THEN '0-9A-Za-z_'
        WHEN 'xdigit' THEN '0-9A-Fa-f'
    END
$$;

-- One escape that stands for a single character, such as \. or \x{41}; NULL for all others.
CREATE FUNCTION escaped_character(escape text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN escape ~ '^\\[afnrtv]$' THEN escape
        WHEN escape ~ '^\\x[0-9A-Fa-f]{2}$' THEN '\u00' || substr(escape, 3)
        WHEN escape ~ '^\\x\{[0-9A-Fa-f]{1,6}\}$'
            THEN '\U' || lpad(trim(BOTH '{}' FROM substr(escape, 3)), 8, '0')
        WHEN escape ~ '^\\[!-/:-@[-`{-~]$' THEN escape
    END
$$;

CREATE FUNCTION plain_pattern(literal text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT regexp_replace(literal, '([^[:alnum:][:space:]])', '\\\1', 'g') $$;

-- The inside of brackets.
CREATE FUNCTION rewritten_class(inside text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    negated boolean := inside LIKE '^%';
    token text;
    piece text;
    written text := '';
    after_character boolean := false;
    in_range boolean := false;
    tokens text[];
    position integer := 1;
BEGIN
    tokens := ARRAY(
        SELECT hit[1]
        FROM regexp_matches(
            substr(inside, CASE WHEN negated THEN 2 ELSE 1 END),
            '(\[:\^?[a-z]+:\]|\\x\{[^}]*\}|\\x[0-9A-Fa-f]{2}|\\.|.)', 'g'
        ) WITH ORDINALITY AS every (hit, position)
        ORDER BY every.position
    );
    FOREACH token IN ARRAY tokens LOOP
        IF token = '-' AND after_character AND NOT in_range AND position < cardinality(tokens) THEN
            in_range := true;
        ELSIF token ~ '^(\[:[a-z]+:\]|\\[dws])$' THEN
            piece := ascii_class(trim(BOTH '[:\]' FROM token));
            IF piece IS NULL OR in_range THEN RETURN NULL; END IF;
            written := written || piece;
            after_character := false;
        ELSE
            piece := CASE
                WHEN token LIKE '\_%' ESCAPE '!' THEN escaped_character(token)
                WHEN token LIKE '[:%' THEN NULL
                WHEN token ~ '[][^&~\-]' THEN '\' || token
                ELSE token
            END;
            IF piece IS NULL THEN RETURN NULL; END IF;
            written := written || CASE WHEN in_range THEN '-' ELSE '' END || piece;
            after_character := NOT in_range;
            in_range := false;
        END IF;
        position := position + 1;
    END LOOP;
    RETURN '[' || CASE WHEN negated THEN '^' ELSE '' END || written || ']';
END $$;

CREATE FUNCTION rewritten_pattern(pattern text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    flags text := coalesce(substring(pattern FROM '^\(\?([ims]+)\)'), '');
    word CONSTANT text := '[0-9A-Za-z_]';
    token text;
    piece text;
    written text := '';
BEGIN
    IF flags <> '' THEN pattern := substr(pattern, length(flags) + 4); END IF;
    FOR token IN
        SELECT hit[1]
        FROM regexp_matches(
            pattern,
            '(\\Q(?:[^\\]|\\(?!E))*(?:\\E|$)'
            '|\[\^?\]?(?:\[:[^]]*:\]|\\.|[^]\\])*\]'
            '|\(\?P?<[0-9A-Za-z_]+>|\(\?:|\(\?'
            '|\\x\{[^}]*\}|\\x[0-9A-Fa-f]{2}|\\.|.)', 'g'
        ) WITH ORDINALITY AS every (hit, position)
        ORDER BY every.position
    LOOP
        piece := CASE
            WHEN token LIKE '\Q%' ESCAPE '!'
                THEN plain_pattern(regexp_replace(substr(token, 3), '\\E$', ''))
            WHEN token ~ '^\[.' THEN
                rewritten_class(substr(token, 2, length(token) - 2))
            WHEN token = '[' THEN NULL
            WHEN token ~ '^\(\?P?<' THEN '('
            WHEN token = '(?' THEN NULL
            WHEN token = '.' THEN CASE WHEN flags LIKE '%s%' THEN '.' ELSE '[^\n]' END
            WHEN token IN ('\d', '\w', '\s') THEN '[' || ascii_class(substr(token, 2)) || ']'
            WHEN token IN ('\D', '\W', '\S')
                THEN '[^' || ascii_class(lower(substr(token, 2))) || ']'
            WHEN token = '\b' THEN
                format('(?:(?<=%1$s)(?!%1$s)|(?<!%1$s)(?=%1$s))', word)
            WHEN token = '\B' THEN
                format('(?:(?<=%1$s)(?=%1$s)|(?<!%1$s)(?!%1$s))', word)
            WHEN token = '\A' THEN '\A'
            WHEN token = '\z' THEN '\Z'
            WHEN token LIKE '\_%' ESCAPE '!' THEN escaped_character(token)
            ELSE token
        END;
        IF piece IS NULL THEN RETURN NULL; END IF;
        written := written || piece;
    END LOOP;
    flags := CASE WHEN flags LIKE '%i%' THEN 'i' ELSE '' END
        || CASE WHEN flags LIKE '%m%' THEN 'w' ELSE '' END;
    RETURN CASE WHEN flags = '' THEN '' ELSE '(?' || flags || ')' END || written;
END $$;

-- Whether the pattern is found anywhere in the value.
CREATE FUNCTION matches_pattern(pattern text, value text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF length(pattern) > 4096 THEN RETURN NULL; END IF;
    RETURN value ~ rewritten_pattern(pattern);
EXCEPTION WHEN invalid_regular_expression OR program_limit_exceeded THEN
    RETURN NULL;
END $$;
